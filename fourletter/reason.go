package fourletter

import "strings"

// reasonMax is the length in bytes from which on a Reason is cut.
const reasonMax = 48

// Reason makes a key of a set, such as zooid_leader_changes, of a text that
// says why something happened, so that texts which say the same of different
// members give the same key: of "the leader 3 is gone: EOF" it is
// the_leader_is_gone. What follows a colon is left out, words with digits are,
// and what is beyond reasonMax; what is no letter becomes an underscore. Nothing
// left is "unknown".
func Reason(text string) string {
	text, _, _ = strings.Cut(text, ":")
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	key := ""
	for _, word := range words {
		if strings.ContainsAny(word, "0123456789") {
			continue
		}
		if len(key)+1+len(word) > reasonMax {
			break
		}
		if key != "" {
			key += "_"
		}
		key += word
	}
	if key == "" {
		return "unknown"
	}
	return key
}
