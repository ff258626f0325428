package fourletter

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// telnetClose is what a telnet client sends on ^]: ZooKeeper knows it as a word
// with the name "telnet close" and no text.
const telnetClose = "\xff\xf4\xff\xfd"

// notServing is the answer of every word that needs a serving server.
const notServing = "This ZooKeeper instance is not currently serving requests"

// DefaultTraceMask is the trace mask that ZooKeeper starts with.
const DefaultTraceMask int64 = 306

// word is one four-letter word.
type word struct {
	// needs are the parts of the Status that text reads.
	needs Part
	text  func(b []byte, arg []byte, s *Status) []byte
	// idle is the text of a server that is not serving; nil means that text
	// answers for it too.
	idle []byte
}

var idleLine = []byte(notServing + "\n")

// words has every word; icfg, lsnp, orst, obsr, sysp and lead are commands of
// the AdminServer only.
var words = map[string]word{
	"conf": {PartConfig | PartDirs, appendConf, idleLine},
	"cons": {PartClients, appendCons, idleLine},
	"crst": {0, constant("Connection stats reset.\n"), idleLine},
	"dirs": {PartDirs, appendDirs, idleLine},
	"dump": {PartSessions | PartEphemerals | PartIdle, appendDump, idleLine},
	"envi": {PartEnvironment, appendEnvi, nil},
	"gtmk": {0, appendTraceMask, nil},
	"hash": {PartDigests, appendHash, []byte(notServing)}, // without a line end, as in ZooKeeper
	"isro": {0, appendIsro, nil},
	"mntr": {PartMetrics, appendMntr, idleLine},
	"ruok": {0, constant("imok"), nil}, // whatever else is the matter: probes compare it
	"srst": {0, constant("Server stats reset.\n"), idleLine},
	"srvr": {0, appendSrvr, idleLine},
	"stat": {PartClients, appendStat, idleLine},
	"stmk": {0, appendSetTraceMask, nil},
	"wchc": {PartWatches, appendWchc, idleLine},
	"wchp": {PartWatches, appendWchp, idleLine},
	"wchs": {PartWatchTotals, appendWchs, idleLine},

	telnetClose: {0, constant(""), nil},
}

// Known tells whether the first 4 bytes of a connection are a word. Any other
// four bytes are the length of a frame.
func Known(word string) bool {
	_, ok := words[word]
	return ok
}

// Words lists the words that have a name of four letters, sorted.
func Words() []string {
	list := make([]string, 0, len(words))
	for w := range words {
		if w != telnetClose {
			list = append(list, w)
		}
	}
	slices.Sort(list)
	return list
}

// Needs tells which parts of a Status the word's Answer reads; 0 for a word
// that is not known.
func Needs(word string) Part { return words[word].needs }

// Answer is the text of a word, all that goes out before the connection is
// closed; nil for a word that is not known. Parts of s that Needs does not ask
// for are not looked at. arg is what followed the word in the same read; only
// stmk looks at it.
//
// Answer asks no whitelist and has no effect. The caller asks the Whitelist
// first. For stmk it sets the mask that TraceMask finds in arg. For srst it
// resets Latency, Received, Sent, AuthFailed, ResponseSize, the proposal sizes
// and the instruments, for crst the figures of every Client: afterwards, as the
// texts do not depend on it.
func Answer(word string, arg []byte, s *Status) []byte {
	w, ok := words[word]
	if !ok {
		return nil
	}
	if s.Mode == ModeNotServing && w.idle != nil {
		return slices.Clone(w.idle)
	}
	text := w.text(nil, arg, s)
	if s.Shortened {
		text = append(text, shortened...)
	}
	return text
}

// shortened ends the answer of a word whose lists are not whole.
const shortened = "(the lists above are not whole: they would be too long)\n"

// TraceMask is the mask that stmk asks to set: the 8 bytes that follow the
// word. With fewer there is nothing to set and no text.
func TraceMask(arg []byte) (mask int64, ok bool) {
	if len(arg) < 8 {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(arg)), true
}

func constant(text string) func(b, arg []byte, s *Status) []byte {
	return func(b, _ []byte, _ *Status) []byte { return append(b, text...) }
}

func appendTraceMask(b, _ []byte, s *Status) []byte { return strconv.AppendInt(b, s.TraceMask, 10) }

func appendSetTraceMask(b, arg []byte, _ *Status) []byte {
	mask, ok := TraceMask(arg)
	if !ok {
		return b
	}
	return strconv.AppendInt(b, mask, 10)
}

func appendIsro(b, _ []byte, s *Status) []byte {
	switch s.Mode {
	case ModeNotServing:
		return append(b, "null"...)
	case ModeReadOnly:
		return append(b, "ro"...)
	}
	return append(b, "rw"...)
}
