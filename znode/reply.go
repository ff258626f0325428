package znode

import "zooid/wire"

// AppendReply appends the body of the reply to the write that a tells of, as
// a.Op lays it out; nothing if it has none or failed. A multi that failed inside
// has a body, and OK in its header.
func AppendReply(dst []byte, a *Applied) []byte {
	o := row(a.Op)
	if o == nil || o.reply == nil || a.Err != wire.OK {
		return dst
	}
	return o.reply(dst, a)
}

func replyPath(dst []byte, a *Applied) []byte { return wire.AppendString(dst, a.Path) }

func replyStat(dst []byte, a *Applied) []byte { return a.Stat.Append(dst) }

func replyPathStat(dst []byte, a *Applied) []byte {
	return a.Stat.Append(wire.AppendString(dst, a.Path))
}

func replyDataStat(dst []byte, a *Applied) []byte {
	return a.Stat.Append(wire.AppendBuffer(dst, a.Data))
}

func replyMulti(dst []byte, a *Applied) []byte {
	for i := range a.Multi {
		dst = a.Multi[i].Append(dst)
	}
	return wire.MultiEnd.Append(dst)
}
