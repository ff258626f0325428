package znode

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValidPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/a": true, "/a/b": true, "/a b": true, "/.x": true, "/x..": true, "/...": true, "/a/.b.": true,
		"/a\u00a0": true, "/\ud7ff": true, "/\uf900": true, "/\uffef": true, "/é": true,
		"": false, "a": false, "a/b": false, "//": false, "/a/": false, "/a//b": false, "//a": false,
		"/.": false, "/..": false, "/a/.": false, "/a/..": false, "/./a": false, "/../a": false, "/a/./b": false, "/a/../b": false,
		"/a\x00": false, "/a\x00b": false, "/\x01": false, "/\x1f": false, "/\x7f": false, "/\u0080": false, "/\u009f": false,
		"/\ue000": false, "/\uf8ff": false, "/\ufff0": false, "/\uffff": false, "/\U0001f600": false,
		"/\ufffd": false, "/\xff\xfe": false, "/\xed\xa0\xbd\xed\xb8\x80": false, "/a\xc3": false,
	} {
		if got := validPath(path); got != want {
			t.Errorf("validPath(%q) = %v, want %v", path, got, want)
		}
	}
}

// FuzzValidPath compares with the rules as they are written down: on the code
// units of the whole path, and on its components.
func FuzzValidPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/a/./b", "/\ue000", "/\xed\xa0\x80", "//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		want := strings.HasPrefix(path, "/") && utf8.ValidString(path)
		for _, r := range path {
			if r < 0x20 || 0x7f <= r && r <= 0x9f || 0xd800 <= r && r <= 0xf8ff || 0xfff0 <= r {
				want = false
			}
		}
		if path != "/" {
			for _, name := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
				if name == "" || name == "." || name == ".." {
					want = false
				}
			}
		}
		if got := validPath(path); got != want {
			t.Errorf("validPath(%q) = %v, want %v", path, got, want)
		}
	})
}
