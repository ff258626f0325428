package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"zooid/wire"
)

// given is a key that somebody set, and where.
type given struct {
	name, value string
	where       string
}

// Parse reads a zoo.cfg and what surrounds it.
//
// zooCfg is the text and source its name for messages. props are system
// properties by name (zookeeper.snapCount, jute.maxbuffer), as from -D. env is
// the environment, of which JVMFLAGS, SERVER_JVMFLAGS and
// ZOO_DATADIR_AUTOCREATE_DISABLE are read, as zkServer.sh does; props wins.
//
// The error joins all that is wrong, one line each with its place. Where
// membership is concerned the Config is complete after SetDynamic, if it names
// a DynamicConfigFile, and Identify.
func Parse(zooCfg []byte, source string, props, env map[string]string) (*Config, error) {
	list, err := parseProperties(zooCfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	p := parser{c: &Config{Source: source}}
	p.defaults()
	p.file(list)
	p.properties(props, env)
	p.apply()
	p.membership(list)
	p.derive()
	if err := errors.Join(p.errs...); err != nil {
		return nil, err
	}
	return p.c, nil
}

// parser gathers what Parse finds.
type parser struct {
	c     *Config
	given []given // in the order in which they are reported
	at    map[string]int
	errs  []error
}

func (p *parser) errorf(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

func (c *Config) warnf(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// defaults gives every key of the table its value.
func (p *parser) defaults() {
	p.at = map[string]int{}
	p.c.Ensemble.SID = UnsetSID
	p.c.Ensemble.Members = new(Membership)
	for i := range keys {
		if k := &keys[i]; k.set != nil && k.def != "" {
			if err := k.apply(p.c, k.def); err != nil {
				panic(fmt.Sprintf("default of %s: %v", k.name, err))
			}
		}
	}
}

// file takes the keys of zoo.cfg.
func (p *parser) file(list []property) {
	for _, prop := range lastOfEach(list) {
		if !isMembershipKey(prop.key) {
			p.put(given{prop.key, prop.value, p.line(prop)}, true)
		}
	}
}

func (p *parser) line(prop property) string { return fmt.Sprintf("%s:%d", p.c.Source, prop.line) }

// put records a given key. One that is there already stays unless over.
func (p *parser) put(g given, over bool) {
	i, there := p.at[g.name]
	switch {
	case !there:
		p.at[g.name] = len(p.given)
		p.given = append(p.given, g)
	case over:
		p.given[i] = g
	}
}

// properties takes the system properties that are keys. Properties of others
// are of no concern here, but their owner may believe that they are.
func (p *parser) properties(props, env map[string]string) {
	set, others := jvmFlags(env)
	for name, value := range props {
		set[name] = given{name, value, "-D" + name}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		g := set[name]
		short, ours := strings.CutPrefix(name, "zookeeper.")
		k := lookup(short)
		switch {
		case k != nil && k.place == inBare && !ours:
			p.put(g, true)
		case !ours:
			others = append(others, "-D"+name)
		case k != nil && k.place == inFile || k == nil && isMembershipKey(short):
			p.c.warnf("%s: no effect: %s is read in zoo.cfg only", g.where, short)
		default:
			g.name = short
			p.put(g, false)
		}
	}
	if len(others) > 0 {
		p.c.warnf("no effect: options for a Java virtual machine: %s", strings.Join(others, " "))
	}
}

// apply carries the given keys into the Config.
func (p *parser) apply() {
	for _, g := range p.given {
		k := lookup(g.name)
		if k == nil {
			p.c.warnf("%s: unknown key %q: no effect%s", g.where, g.name, suggest(g.name))
			p.c.list(g, "unknown, no effect")
			continue
		}
		var hint remark
		err := k.apply(p.c, g.value)
		switch {
		case errors.As(err, &hint):
			p.c.warnf("%s: %s: %s", g.where, g.name, hint)
		case err != nil:
			p.errorf("%s: %s: %w", g.where, g.name, err)
		}
		effect := k.effect.String()
		var passed *replaced
		if errors.As(err, &passed) {
			effect = "passed over, " + cmp.Or(passed.def, "nothing") + " holds"
		}
		p.c.list(g, effect)
	}
}

// membership reads the server lines of zoo.cfg.
func (p *parser) membership(list []property) {
	e := &p.c.Ensemble
	list = slices.DeleteFunc(list, func(prop property) bool { return !isMembershipKey(prop.key) })
	if e.DynamicConfigFile != "" {
		for _, prop := range list {
			p.errorf("%s: %s: it must stand in %s, because dynamicConfigFile is set", p.line(prop), prop.key, e.DynamicConfigFile)
		}
		return
	}
	members, err := p.c.readMembers(list, p.line)
	if err == nil {
		err = p.c.join(members)
	}
	if err != nil {
		p.errs = append(p.errs, err)
	}
}

// readMembers reads the lines of a membership, which are then among the settings.
func (c *Config) readMembers(list []property, where func(property) string) (*Membership, error) {
	for _, prop := range lastOfEach(list) {
		c.list(given{prop.key, prop.value, where(prop)}, ensemble.String())
	}
	return buildMembership(list, c.Ensemble.MultiAddress, where)
}

// SetDynamic reads the file that DynamicConfigFile names. Its version is the
// hexadecimal number behind the last dot of its name, 0 if there is none.
func (c *Config) SetDynamic(text []byte) error {
	name := c.Ensemble.DynamicConfigFile
	list, err := parseDynamic(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	members, err := c.readMembers(list, func(p property) string { return fmt.Sprintf("%s:%d", name, p.line) })
	switch {
	case err != nil:
		return err
	case members.Version != 0:
		return fmt.Errorf("%s: version: the version of a dynamic configuration stands in the file's name, not in the file", c.where("version"))
	case len(members.Members) == 0:
		return fmt.Errorf("%s: there is no line server.N in it, and dynamicConfigFile says that the servers stand there", name)
	}
	if suffix := path.Ext(name); suffix != "" {
		if v := (&Membership{}); v.add("version", suffix[1:], false) == nil {
			members.Version = v.Version
		}
	}
	return c.join(members)
}

// join makes members the membership, after checking what can be checked before
// it is known which of them this server is.
func (c *Config) join(members *Membership) error {
	e := &c.Ensemble
	e.Members = members
	voters := members.Participants()
	observers := len(members.Members) - voters
	switch {
	case voters == 0 && observers > 0:
		return fmt.Errorf("%s: there are observers and no participants", c.whereObserver())
	case voters == 0 && !e.StandaloneEnabled:
		return fmt.Errorf("%s: standaloneEnabled is false, so there must be a server line with a participant", c.where("standaloneEnabled"))
	case voters == 1 && observers > 0 && e.StandaloneEnabled:
		return fmt.Errorf("%s: there are observers and one participant, which runs alone unless standaloneEnabled is false", c.whereObserver())
	case !c.Distributed():
		return nil
	case e.InitLimitTicks == 0:
		return fmt.Errorf("%s: initLimit is not set, and an ensemble needs it", c.where("initLimit"))
	case e.SyncLimitTicks == 0:
		return fmt.Errorf("%s: syncLimit is not set, and an ensemble needs it", c.where("syncLimit"))
	case voters <= 2:
		c.warnf("%s: %d participants: no failure of a server is tolerated, at least 3 are needed for that", c.Source, voters)
	case voters%2 == 0:
		c.warnf("%s: %d participants tolerate no more failures than %d; an odd number is better", c.Source, voters, voters-1)
	}
	c.warnAlike()
	return nil
}

// whereObserver is the place and the key of the first line of an observer.
func (c *Config) whereObserver() string {
	for i := range c.Ensemble.Members.Members {
		if m := &c.Ensemble.Members.Members[i]; m.Observer {
			return c.whereMember(m.SID) + ": " + m.key()
		}
	}
	return c.Source
}

// warnAlike tells of members whose sessions begin with the same byte, which is
// all that an id has of its server. ZooKeeper takes them too. The rest of an id
// is the time of the server's start, so that two are alike by chance only.
func (c *Config) warnAlike() {
	owner := map[byte]wire.SID{}
	for i := range c.Ensemble.Members.Members {
		sid := c.Ensemble.Members.Members[i].SID
		if other, taken := owner[byte(sid)]; taken {
			c.warnf("%s: server.%d: its sessions' ids begin like those of server.%d: the ids of two servers should differ in their last byte", c.whereMember(sid), sid, other)
		}
		owner[byte(sid)] = sid
	}
}

// derive fills in what follows from other keys and checks them together.
func (p *parser) derive() {
	c := p.c
	if c.Storage.DataDir == "" {
		p.errorf("%s: dataDir is not set", c.Source)
	}
	if c.Storage.LogDir == "" {
		c.Storage.LogDir = c.Storage.DataDir
	}
	if c.Storage.PurgeInterval < 0 {
		c.Storage.PurgeInterval = 0
	}
	if c.Storage.PurgeInterval > 0 {
		c.Storage.LogBudgetBytes = logBudgetBytes
	}
	if c.Clients.Addr.Port == 0 && c.Clients.Addr.Host != "" {
		p.errorf("%s: clientPortAddress is set but clientPort is not", c.where("clientPortAddress"))
	}
	p.deriveSessions()
	if e := &c.Ensemble; e.NotifyMax < e.NotifyMin {
		c.warnf("%s: fastleader.maxNotificationInterval (%v) is raised to fastleader.minNotificationInterval (%v)", c.where("fastleader.maxNotificationInterval"), e.NotifyMax, e.NotifyMin)
		e.NotifyMax = e.NotifyMin
	}
	if c.Metrics.Prometheus && c.Metrics.Addr.Port == 0 {
		p.errorf("%s: metricsProvider.httpPort must not be 0", c.where("metricsProvider.httpPort"))
	}
	if !strings.HasPrefix(c.Admin.CommandURL, "/") {
		p.errorf("%s: admin.commandURL: %q does not begin with a slash", c.where("admin.commandURL"), c.Admin.CommandURL)
	}
	if c.Auth.Enforce && len(c.Auth.EnforceSchemes) == 0 {
		p.errorf("%s: enforce.auth.enabled is true, so enforce.auth.schemes must name a scheme", c.where("enforce.auth.enabled"))
	}
	if d := c.Auth.SuperDigest; d != "" && !strings.Contains(d, ":") {
		c.warnf("%s: DigestAuthenticationProvider.superDigest is not of the form user:hash, so nobody is super", c.where("DigestAuthenticationProvider.superDigest"))
	}
}

func (p *parser) deriveSessions() {
	c, s := p.c, &p.c.Sessions
	if s.TimeoutMin < 0 {
		s.TimeoutMin = 2 * s.Tick
	}
	if s.TimeoutMax < 0 {
		s.TimeoutMax = 20 * s.Tick
	}
	if s.TimeoutMin > s.TimeoutMax {
		p.errorf("%s: minSessionTimeout (%v) is larger than maxSessionTimeout (%v)%s", c.whereFirst("minSessionTimeout", "maxSessionTimeout", "tickTime"),
			s.TimeoutMin, s.TimeoutMax, c.unsetFollow("minSessionTimeout", "maxSessionTimeout"))
	}
	if s.TimeoutMax > math.MaxInt32*time.Millisecond {
		p.errorf("%s: tickTime is so large that maxSessionTimeout (%v) does not fit in 32 bits of milliseconds", c.where("tickTime"), s.TimeoutMax)
	}
}

// unsetFollow says which of the bounds of session timeouts follows from tickTime,
// because nobody has set it.
func (c *Config) unsetFollow(least, most string) string {
	switch {
	case !c.isSet(least):
		return ": " + least + " is not set and is twice tickTime"
	case !c.isSet(most):
		return ": " + most + " is not set and is 20 times tickTime"
	}
	return ""
}
