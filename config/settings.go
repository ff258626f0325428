package config

import "slices"

// Setting is one key for a listing of the effective configuration.
type Setting struct {
	Key    string
	Value  string // "***" for secrets
	Where  string // source:line, -Dname, the variable, or "default"
	Effect string // what Zooid does about it
}

const redacted = "***"

// list remembers a key that somebody set.
func (c *Config) list(g given, effect string) {
	s := Setting{g.name, g.value, g.where, effect}
	if secret(g.name) {
		s.Value = redacted
	}
	c.settings = append(c.settings, s)
}

// isSet says whether somebody has set a key, to whatever value.
func (c *Config) isSet(name string) bool {
	return slices.ContainsFunc(c.settings, func(s Setting) bool { return s.Key == name })
}

// Settings lists what was set, in the order in which it was read, and then the
// defaults of all other keys that have a value.
func (c *Config) Settings() []Setting {
	list := append([]Setting(nil), c.settings...)
	set := map[string]bool{}
	for _, s := range list {
		set[s.Key] = true
	}
	for i := range keys {
		if k := &keys[i]; k.def != "" && !set[k.name] {
			list = append(list, Setting{k.name, k.def, "default", k.effect.String()})
		}
	}
	return list
}
