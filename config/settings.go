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

// where is the place at which a key was set, the source of all if nobody set it.
func (c *Config) where(name string) string {
	for i := len(c.settings) - 1; i >= 0; i-- {
		if c.settings[i].Key == name {
			return c.settings[i].Where
		}
	}
	return c.Source
}

// whereFirst is the place of the first of some keys that somebody has set.
func (c *Config) whereFirst(names ...string) string {
	for _, name := range names {
		if c.isSet(name) {
			return c.where(name)
		}
	}
	return c.Source
}

// Where is the place at which a key was set, for messages of those who judge its
// value: file and line, or the option. It is the file for a key that is not set.
func (c *Config) Where(name string) string { return c.where(name) }

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
