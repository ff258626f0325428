package zab

import (
	"fmt"
	"strings"

	"zooid/wire"
)

// This file has what transcripts tell of a machineNet.

// describe writes down what a machine wants.
func (x *node) describe(r *Ready) {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if r.Role != nil && r.Role.State != wire.Looking {
		add("%v epoch %d from %s", strings.ToUpper(r.Role.State.String()), r.Role.Epoch, brief(r.Role.Base))
	}
	if r.Dial != nil {
		add("dial %d", r.Dial.Leader)
	}
	if r.Truncate != nil {
		add("truncate %s", brief(*r.Truncate))
	}
	if len(r.Entries) > 0 {
		add("append %s", span(r.Entries))
	}
	if r.SaveEpochs != nil {
		add("save epochs %d/%d", r.SaveEpochs.Accepted, r.SaveEpochs.Current)
	}
	if r.Install != nil {
		add("install %s", brief(r.Install.Zxid))
	}
	for _, c := range r.Reads {
		add("read behind %s", brief(c.After))
	}
	if len(r.Committed) > 0 {
		add("commit %s", span(r.Committed))
	}
	parts = append(parts, x.describeSends(r.Sends)...)
	if r.Synced > 0 {
		add("synced %d", r.Synced)
	}
	if r.Confirmed > 0 {
		add("confirmed %d", r.Confirmed)
	}
	for _, k := range r.Refused {
		add("refuse %d: %s", k.SID, k.Reason)
	}
	for _, c := range r.Close {
		if _, sid, ok := x.net.peerOf(c); ok {
			add("close %d", sid)
		}
	}
	if r.Role != nil && r.Role.State == wire.Looking {
		add("LOOKING (%s)", r.Role.Reason)
	}
	if r.Failed != "" {
		add("gives up (%s)", r.Failed)
	}
	if len(parts) > 0 {
		x.net.log("%d: %s", x.sid, strings.Join(parts, "; "))
	}
}

func span(list []wire.Entry) string {
	if len(list) == 1 {
		return brief(list[0].Zxid)
	}
	return brief(list[0].Zxid) + ".." + brief(list[len(list)-1].Zxid)
}

// describeSends groups packets: of the same kind to several members, and of
// several kinds to one.
func (x *node) describeSends(sends []Send) []string {
	var order []ConnID
	by := map[ConnID][]string{}
	for _, s := range sends {
		if s.Packet.Type == wire.PacketPing {
			continue
		}
		if by[s.Conn] == nil {
			order = append(order, s.Conn)
		}
		text := s.Packet.Type.String() + " " + brief(s.Packet.Zxid)
		if s.Packet.Type == wire.PacketUpToDate {
			text = "UPTODATE"
		}
		if s.Packet.Type == wire.PacketAckEpoch {
			text += fmt.Sprintf(" epoch %d", int8(s.Packet.Data[3]))
		}
		by[s.Conn] = append(by[s.Conn], text)
	}
	var texts []string
	to := map[string][]string{}
	for _, c := range order {
		text := strings.Join(by[c], ", ")
		if to[text] == nil {
			texts = append(texts, text)
		}
		who := "?"
		if _, sid, ok := x.net.peerOf(c); ok {
			who = fmt.Sprint(sid)
		}
		to[text] = append(to[text], who)
	}
	for i, text := range texts {
		texts[i] = text + " -> " + strings.Join(to[text], " ")
	}
	return texts
}
