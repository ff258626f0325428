package fourletter

import (
	"slices"
	"strings"
)

// Whitelist is the set of words that may be executed. The zero value allows
// none; use ParseWhitelist.
type Whitelist struct {
	all   bool
	words []string
}

// ParseWhitelist reads the value of 4lw.commands.whitelist: words separated by
// commas, blanks around them ignored, * for all. "" is the default, which is
// srvr alone; srvr is in every whitelist, and isro in that of a server whose
// read-only mode is enabled. unknown are entries that are no word; they have
// no effect.
func ParseWhitelist(list string, readOnlyEnabled bool) (w Whitelist, unknown []string) {
	w.words = append(w.words, "srvr")
	if readOnlyEnabled {
		w.words = append(w.words, "isro")
	}
	for entry := range strings.SplitSeq(list, ",") {
		switch entry = strings.TrimSpace(entry); {
		case entry == "":
		case entry == "*":
			w.all = true
		case Known(entry) || entry == displayName(telnetClose):
			w.words = append(w.words, entry)
		default:
			unknown = append(unknown, entry)
		}
	}
	return w, unknown
}

// Allows tells whether a word that is Known may be executed.
func (w Whitelist) Allows(word string) bool {
	return w.all && Known(word) || slices.Contains(w.words, displayName(word))
}

// Refusal is the text for a word that is not allowed.
func Refusal(word string) []byte {
	return []byte(displayName(word) + " is not executed because it is not in the whitelist.\n")
}

func displayName(word string) string {
	if word == telnetClose {
		return "telnet close"
	}
	return word
}
