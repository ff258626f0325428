package config

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"testing"
)

// TestPropertiesAsJava holds the parser to what java.util.Properties of Java 17
// made of the same bytes: written cases, and ones generated from the characters
// that matter.
func TestPropertiesAsJava(t *testing.T) {
	forEachLine(t, "testdata/properties-java17.jsonl", func(line []byte) {
		var c struct {
			Input      string
			Properties map[string]string
			Error      *string
		}
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		list, err := scanProperties(latin1(c.Input))
		if (err != nil) != (c.Error != nil) {
			t.Errorf("%q: error %v, Java %v", c.Input, err, c.Error)
			return
		}
		if err != nil {
			return
		}
		got := map[string]string{}
		for _, p := range list {
			got[p.key] = p.value
		}
		if c.Properties[""] == "" {
			// Java makes an empty property of a lone backslash in the last line
			// if that ends in LF and none if it ends in CR LF. Either means nothing.
			delete(got, "")
			delete(c.Properties, "")
		}
		if !maps.Equal(got, c.Properties) {
			t.Errorf("%q: %q, Java %q", c.Input, got, c.Properties)
		}
	})
}

func TestPropertiesLines(t *testing.T) {
	list, err := parseProperties([]byte("# one\na=1\n\nb = \\\n   2  \r\nc=3\rd"))
	if err != nil {
		t.Fatal(err)
	}
	want := []property{{"a", "1", 2}, {"b", "2", 4}, {"c", "3", 6}, {"d", "", 7}}
	if len(list) != len(want) {
		t.Fatalf("got %+v", list)
	}
	for i := range want {
		if list[i] != want[i] {
			t.Errorf("got %+v, want %+v", list[i], want[i])
		}
	}
	if _, err := parseProperties([]byte("a=1\nb=\\u12\n")); err == nil || err.Error() != `line 2: \u is not followed by four hexadecimal digits` {
		t.Errorf("got %v", err)
	}
}

// latin1 makes the bytes of which s, with no character above U+00FF, is the text.
func latin1(s string) (b []byte) {
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

// forEachLine calls visit for each line of a file.
func forEachLine(t *testing.T, name string, visit func(line []byte)) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	s := bufio.NewScanner(f)
	for ; s.Scan(); lines++ {
		visit(s.Bytes())
	}
	if s.Err() != nil || lines == 0 {
		t.Fatalf("%s: %d lines, %v", name, lines, s.Err())
	}
}
