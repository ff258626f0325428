package zab

import "testing"

func TestDefects(t *testing.T) {
	seen := map[string]Defect{}
	for d := NoDefect; int(d) < defects; d++ {
		name := d.String()
		if other, ok := seen[name]; ok || name == "" {
			t.Errorf("defects %d and %d are both called %q", other, d, name)
		}
		seen[name] = d
		if Mistaken(d) {
			t.Errorf("the program makes the mistake %v", d)
		}
	}
	if got := len(Defects()); got != defects-1 {
		t.Errorf("%d defects are listed", got)
	}
	if got := Defect(99).String(); got != "defect 99" {
		t.Errorf("an unknown one is called %q", got)
	}
}
