package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"zooid/wire"
)

// Membership is who belongs to the ensemble: the lines server.N, group.N and
// weight.N, and the version under which they were agreed.
type Membership struct {
	Version wire.Zxid
	Members []Member // in order of their SIDs
	// Groups maps the number of each group to its members. It is nil unless a
	// line group.N or weight.N switches to hierarchical quorums.
	Groups map[int64][]wire.SID
	// Weights has the weight of each participant when Groups is not nil.
	Weights map[wire.SID]int64
}

// ParseMembership reads a configuration text: the content of /zookeeper/config,
// of a dynamic configuration file, or of a configuration sent between servers.
func ParseMembership(text []byte, multiAddress bool) (*Membership, error) {
	list, err := parseDynamic(text)
	if err != nil {
		return nil, err
	}
	return buildMembership(list, multiAddress, func(p property) string { return fmt.Sprintf("line %d", p.line) })
}

// parseDynamic reads the properties of a text that has a membership and nothing
// else.
func parseDynamic(text []byte) ([]property, error) {
	list, err := parseProperties(text)
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if !isMembershipKey(p.key) {
			return nil, fmt.Errorf("line %d: %s is not a key of a dynamic configuration", p.line, p.key)
		}
	}
	return list, nil
}

// isMembershipKey says whether a key belongs to the dynamic configuration.
func isMembershipKey(key string) bool {
	return key == "version" || strings.HasPrefix(key, "server.") || strings.HasPrefix(key, "group.") || strings.HasPrefix(key, "weight.")
}

// buildMembership reads the lines of a membership; a later duplicate of a key
// wins. where names the place of a property in messages.
func buildMembership(list []property, multiAddress bool, where func(property) string) (*Membership, error) {
	m := new(Membership)
	var errs []error
	places := map[string]string{} // of a line, by its key as it is usually spelled
	for _, p := range lastOfEach(list) {
		if err := m.add(p.key, p.value, multiAddress); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", where(p), p.key, err))
		}
		kind, number, _ := strings.Cut(p.key, ".")
		if id, err := strconv.ParseInt(number, 10, 64); err == nil {
			places[fmt.Sprintf("%s.%d", kind, id)] = where(p)
		}
	}
	if errs == nil {
		slices.SortFunc(m.Members, func(a, b Member) int { return cmp.Compare(a.SID, b.SID) })
		if key, err := m.checkGroups(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", places[key], key, err))
		}
	}
	return m, errors.Join(errs...)
}

func (m *Membership) add(key, value string, multiAddress bool) (err error) {
	if key == "version" {
		version, err := strconv.ParseInt(value, 16, 64)
		m.Version = wire.Zxid(version)
		if err != nil {
			return fmt.Errorf("%q is not a hexadecimal number", value)
		}
		return nil
	}
	kind, number, _ := strings.Cut(key, ".")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number", number)
	}
	switch kind {
	case "server":
		if m.Member(wire.SID(id)) != nil {
			return fmt.Errorf("there are two lines for server %d", id)
		}
		member, err := ParseMember(wire.SID(id), value, multiAddress)
		m.Members = append(m.Members, member)
		return err
	case "group":
		m.hierarchical()
		for _, text := range splitJava(value, ":") {
			sid, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return fmt.Errorf("%q is not a server's number", text)
			}
			m.Groups[id] = append(m.Groups[id], wire.SID(sid))
		}
	case "weight":
		m.hierarchical()
		weight, err := strconv.ParseInt(value, 10, 64)
		if err != nil || weight < 0 {
			return fmt.Errorf("%q is not a weight", value)
		}
		m.Weights[wire.SID(id)] = weight
	}
	return nil
}

func (m *Membership) hierarchical() {
	if m.Groups == nil {
		m.Groups = map[int64][]wire.SID{}
		m.Weights = map[wire.SID]int64{}
	}
}

// checkGroups checks that each participant is in one group and completes the
// weights, for which 1 is the default. With an error it gives the key of the line
// that is wrong.
func (m *Membership) checkGroups() (key string, err error) {
	if m.Groups == nil {
		return "", nil
	}
	groupOf := map[wire.SID]int64{}
	for _, gid := range slices.Sorted(maps.Keys(m.Groups)) {
		key := fmt.Sprintf("group.%d", gid)
		for _, sid := range m.Groups[gid] {
			if other, ok := groupOf[sid]; ok {
				return key, fmt.Errorf("server %d is in group %d and in group %d", sid, other, gid)
			}
			if m.Member(sid) == nil {
				return key, fmt.Errorf("it names server %d, for which there is no line", sid)
			}
			groupOf[sid] = gid
		}
	}
	for i := range m.Members {
		member := &m.Members[i]
		if member.Observer {
			continue
		}
		if _, ok := groupOf[member.SID]; !ok {
			return member.key(), fmt.Errorf("server %d is in no group: where there are lines group.N or weight.N, one of the groups must name it", member.SID)
		}
		if _, ok := m.Weights[member.SID]; !ok {
			m.Weights[member.SID] = 1
		}
	}
	return "", nil
}

// Member finds a member; nil if there is none with that number.
func (m *Membership) Member(sid wire.SID) *Member {
	for i := range m.Members {
		if m.Members[i].SID == sid {
			return &m.Members[i]
		}
	}
	return nil
}

// Participants counts the members that vote.
func (m *Membership) Participants() (n int) {
	for i := range m.Members {
		if !m.Members[i].Observer {
			n++
		}
	}
	return n
}

// String is the text of /zookeeper/config: members, groups and weights in order
// of their numbers and the version in the last line, which has no end.
func (m *Membership) String() string {
	var b strings.Builder
	for _, member := range m.Members {
		fmt.Fprintf(&b, "server.%d=%s\n", member.SID, escapeValue(member.String()))
	}
	for _, gid := range slices.Sorted(maps.Keys(m.Groups)) {
		fmt.Fprintf(&b, "group.%d=", gid)
		for i, sid := range m.Groups[gid] {
			if i > 0 {
				b.WriteByte(':')
			}
			fmt.Fprintf(&b, "%d", sid)
		}
		b.WriteByte('\n')
	}
	for _, sid := range slices.Sorted(maps.Keys(m.Weights)) {
		fmt.Fprintf(&b, "weight.%d=%d\n", sid, m.Weights[sid])
	}
	fmt.Fprintf(&b, "version=%x", uint64(m.Version))
	return b.String()
}

// lastOfEach drops all but the last property of each key and keeps the order.
func lastOfEach(list []property) []property {
	last := map[string]int{}
	for i, p := range list {
		last[p.key] = i
	}
	kept := make([]property, 0, len(last))
	for i, p := range list {
		if last[p.key] == i {
			kept = append(kept, p)
		}
	}
	return kept
}
