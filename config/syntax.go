package config

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// property is one key and its value, both trimmed, and the line where it began.
type property struct {
	key, value string
	line       int
}

// parseProperties reads text as java.util.Properties does: ISO-8859-1 bytes,
// \uXXXX and other escapes, comments, continuation lines, and '=', ':' or white
// space between key and value. Like ZooKeeper it then trims keys and values.
// Duplicates are kept, in order. The mark with which some editors begin a file
// in UTF-8 is skipped, though to ZooKeeper it is part of the first key.
func parseProperties(text []byte) ([]property, error) {
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, errors.New("line 1: the text is in UTF-16: save it as ASCII or UTF-8")
	}
	list, err := scanProperties(trimMark(text))
	for i := range list {
		list[i].key = javaTrim(list[i].key)
		list[i].value = javaTrim(list[i].value)
	}
	return list, err
}

// trimMark takes off the byte order mark of UTF-8.
func trimMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) }

// scanProperties is java.util.Properties.load, untrimmed.
func scanProperties(text []byte) (list []property, err error) {
	s := lineScanner{text: text, line: 1}
	for {
		line, number, ok := s.next()
		if !ok {
			return list, nil
		}
		key, value := splitProperty(line)
		p := property{line: number}
		if p.key, err = unescape(key); err == nil {
			p.value, err = unescape(value)
		}
		if err != nil {
			return list, fmt.Errorf("line %d: %w", number, err)
		}
		list = append(list, p)
	}
}

// lineScanner yields logical lines: natural lines without comments and blank
// ones, without leading white space, joined where one ends in an odd number of
// backslashes.
type lineScanner struct {
	text []byte
	pos  int
	line int // number of the natural line at pos
}

// next returns a logical line and the number of its first natural line.
func (s *lineScanner) next() (logical []byte, number int, ok bool) {
	for s.pos < len(s.text) {
		number = s.line
		natural := trimLeft(s.natural())
		if len(natural) == 0 || natural[0] == '#' || natural[0] == '!' {
			continue
		}
		logical = natural
		for continues(logical) {
			logical = logical[:len(logical)-1]
			if len(logical) == 0 || s.pos == len(s.text) {
				break // a backslash alone begins nothing: the next line may be a comment
			}
			logical = append(logical[:len(logical):len(logical)], trimLeft(s.natural())...)
		}
		if len(logical) > 0 {
			return logical, number, true
		}
	}
	return nil, 0, false
}

// natural returns the line at pos without its end, which is LF, CR or CR LF.
func (s *lineScanner) natural() []byte {
	start := s.pos
	for s.pos < len(s.text) && s.text[s.pos] != '\n' && s.text[s.pos] != '\r' {
		s.pos++
	}
	line := s.text[start:s.pos]
	if s.pos < len(s.text) {
		if s.text[s.pos] == '\r' && s.pos+1 < len(s.text) && s.text[s.pos+1] == '\n' {
			s.pos++
		}
		s.pos++
		s.line++
	}
	return line
}

// continues says whether the last backslash of line escapes its end.
func continues(line []byte) bool {
	n := 0
	for n < len(line) && line[len(line)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// splitProperty parts a logical line at the first unescaped '=', ':' or white
// space; white space around one '=' or ':' belongs to neither side.
func splitProperty(line []byte) (key, value []byte) {
	end := 0
	for end < len(line) && line[end] != '=' && line[end] != ':' && !isBlank(line[end]) {
		if line[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(line))
	value = trimLeft(line[end:])
	if len(value) > 0 && (value[0] == '=' || value[0] == ':') {
		value = trimLeft(value[1:])
	}
	return line[:end], value
}

// unescape decodes ISO-8859-1 and escapes.
func unescape(b []byte) (string, error) {
	units := make([]uint16, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c != '\\' {
			units = append(units, uint16(c))
			continue
		}
		if i++; i == len(b) {
			break
		}
		switch c = b[i]; c {
		case 'u':
			hex := b[i+1 : min(i+5, len(b))]
			u, err := strconv.ParseUint(string(hex), 16, 16)
			if err != nil || len(hex) < 4 {
				return "", fmt.Errorf(`\u is not followed by four hexadecimal digits`)
			}
			units = append(units, uint16(u))
			i += 4
		case 't':
			units = append(units, '\t')
		case 'n':
			units = append(units, '\n')
		case 'r':
			units = append(units, '\r')
		case 'f':
			units = append(units, '\f')
		default:
			units = append(units, uint16(c))
		}
	}
	return string(utf16.Decode(units)), nil
}

// escapeValue writes a value so that it is read again as it is, whether the text is
// taken for ISO-8859-1, as a file is, or for characters, as members send it.
func escapeValue(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r < ' ' || r > '~':
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\f' }

func trimLeft(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	return b
}

// javaTrim is String.trim: it takes off all characters up to the blank.
func javaTrim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
}
