package fourletter

import (
	"slices"
	"strconv"
	"strings"

	"zooid/wire"
)

const readOnlyLine = "READ-ONLY mode; serving only read-only clients\n"

func appendSrvr(b, _ []byte, s *Status) []byte {
	b = appendVersionLine(b, s)
	return appendFigures(b, s)
}

// appendStat is srvr with the connections between the version and the figures.
func appendStat(b, _ []byte, s *Status) []byte {
	b = appendVersionLine(b, s)
	b = append(b, "Clients:\n"...)
	for i := range s.Clients {
		b = appendClient(b, &s.Clients[i])
		b = append(b, ")\n"...)
	}
	b = append(b, '\n')
	return appendFigures(b, s)
}

func appendVersionLine(b []byte, s *Status) []byte {
	b = append(b, "Zookeeper version: "...)
	b = append(b, s.Version...)
	b = append(b, '\n')
	if s.Mode == ModeReadOnly {
		b = append(b, readOnlyLine...)
	}
	return b
}

func appendFigures(b []byte, s *Status) []byte {
	b = append(b, "Latency min/avg/max: "...)
	b = strconv.AppendInt(b, s.Latency.Min.Milliseconds(), 10)
	b = append(b, '/')
	b = appendDouble(b, s.Latency.averageMs())
	b = append(b, '/')
	b = strconv.AppendInt(b, s.Latency.Max.Milliseconds(), 10)
	b = append(b, '\n')
	b = appendLine(b, "Received: ", s.Received)
	b = appendLine(b, "Sent: ", s.Sent)
	b = appendLine(b, "Connections: ", s.Connections)
	b = appendLine(b, "Outstanding: ", s.Outstanding)
	b = append(b, "Zxid: "...)
	b = append(b, s.Zxid.String()...)
	b = append(b, "\nMode: "...)
	b = append(b, s.Mode.String()...)
	b = append(b, '\n')
	b = appendLine(b, "Node count: ", s.NodeCount)
	if s.Mode == ModeLeader {
		p := s.Leading.ProposalSize
		b = append(b, "Proposal sizes last/min/max: "...)
		b = strconv.AppendInt(b, p.Last, 10)
		b = append(b, '/')
		b = strconv.AppendInt(b, p.Min, 10)
		b = append(b, '/')
		b = strconv.AppendInt(b, p.Max, 10)
		b = append(b, '\n')
	}
	return appendDisk(b, s)
}

// DiskLine begins the line of srvr and stat that says which disk has too little
// room for writes. ZooKeeper has no such line, and it is there only while that is
// so.
const DiskLine = "Disk nearly full: "

func appendDisk(b []byte, s *Status) []byte {
	if s.DiskShort == "" {
		return b
	}
	b = append(b, DiskLine...)
	b = append(b, s.DiskShort...)
	return append(b, '\n')
}

func appendCons(b, _ []byte, s *Status) []byte {
	for i := range s.Clients {
		c := &s.Clients[i]
		b = appendClient(b, c)
		if c.Session != 0 {
			b = appendClientSession(b, c)
		}
		b = append(b, ")\n"...)
	}
	return append(b, '\n')
}

// appendClient writes what stat and cons both show of a connection. The number
// in brackets is Java's set of interest operations: 1 while it is read from.
func appendClient(b []byte, c *Client) []byte {
	b = append(b, ' ')
	b = appendAddr(b, c.Remote)
	if c.Reading {
		b = append(b, "[1]"...)
	} else {
		b = append(b, "[0]"...)
	}
	b = appendField(b, "(queued=", c.Outstanding)
	b = appendField(b, ",recved=", c.Received)
	return appendField(b, ",sent=", c.Sent)
}

func appendClientSession(b []byte, c *Client) []byte {
	b = append(b, ",sid="...)
	b = append(b, c.Session.String()...)
	b = append(b, ",lop="...)
	b = append(b, c.LastOp...)
	b = appendField(b, ",est=", c.Established.UnixMilli())
	b = appendField(b, ",to=", int64(c.TimeoutMs))
	if c.LastCxid >= 0 {
		b = append(b, ",lcxid=0x"...)
		b = strconv.AppendInt(b, c.LastCxid, 16)
	}
	b = append(b, ",lzxid="...)
	b = append(b, c.LastZxid.String()...)
	b = appendField(b, ",lresp=", c.LastReply.Milliseconds())
	b = appendField(b, ",llat=", c.LastLatency.Milliseconds())
	b = appendField(b, ",minlat=", c.Latency.Min.Milliseconds())
	// A whole number here, unlike in srvr.
	b = appendField(b, ",avglat=", int64(c.Latency.averageMs()))
	return appendField(b, ",maxlat=", c.Latency.Max.Milliseconds())
}

func appendConf(b, _ []byte, s *Status) []byte {
	c := &s.Config
	b = appendLine(b, "clientPort=", int64(c.ClientPort))
	b = appendLine(b, "secureClientPort=", int64(c.SecureClientPort))
	b = append(b, "dataDir="...)
	b = append(b, c.DataDir...)
	b = append(b, '\n')
	b = appendLine(b, "dataDirSize=", s.DataDirSize)
	b = append(b, "dataLogDir="...)
	b = append(b, c.LogDir...)
	b = append(b, '\n')
	b = appendLine(b, "dataLogSize=", s.LogDirSize)
	b = appendLine(b, "tickTime=", int64(c.TickTimeMs))
	b = appendLine(b, "maxClientCnxns=", int64(c.MaxClientCnxns))
	b = appendLine(b, "minSessionTimeout=", int64(c.MinSessionTimeoutMs))
	b = appendLine(b, "maxSessionTimeout=", int64(c.MaxSessionTimeoutMs))
	b = appendLine(b, "clientPortListenBacklog=", int64(c.ClientPortListenBacklog))
	b = appendLine(b, "serverId=", int64(c.ServerID))
	if c.Member != nil {
		b = appendMember(b, c.Member, s.Mode)
	}
	return b
}

func appendMember(b []byte, m *MemberConfig, mode Mode) []byte {
	b = appendLine(b, "initLimit=", int64(m.InitLimit))
	b = appendLine(b, "syncLimit=", int64(m.SyncLimit))
	b = append(b, "electionAlg=3\n"...)
	b = appendPorts(b, "electionPort=", m.ElectionPorts)
	b = appendPorts(b, "quorumPort=", m.QuorumPorts)
	if m.Observer {
		b = append(b, "peerType=1\n"...)
	} else {
		b = append(b, "peerType=0\n"...)
	}
	if mode == ModeReadOnly {
		return b
	}
	// The blank, and no line end after the text, are ZooKeeper's.
	b = append(b, "membership: \n"...)
	return append(b, m.Membership...)
}

func appendPorts(b []byte, key string, ports []int) []byte {
	b = append(b, key...)
	for i, port := range ports {
		if i > 0 {
			b = append(b, '|')
		}
		b = strconv.AppendInt(b, int64(port), 10)
	}
	return append(b, '\n')
}

func appendDirs(b, _ []byte, s *Status) []byte {
	b = appendLine(b, "datadir_size: ", s.DataDirSize)
	return appendLine(b, "logdir_size: ", s.LogDirSize)
}

// appendHash prints a digest as the signed number that it is in Java.
func appendHash(b, _ []byte, s *Status) []byte {
	for _, d := range s.Digests {
		b = strconv.AppendUint(b, uint64(d.Zxid), 16)
		b = appendLine(b, ": ", int64(d.Digest))
	}
	return b
}

// environmentKeys are the keys of envi in its order, without zookeeper.version,
// which comes first and is Status.Version.
var environmentKeys = []string{
	"host.name", "java.version", "java.vendor", "java.home", "java.class.path",
	"java.library.path", "java.io.tmpdir", "java.compiler", "os.name", "os.arch", "os.version",
	"user.name", "user.home", "user.dir", "os.memory.free", "os.memory.max", "os.memory.total",
}

// EnvironmentKeys are the keys that Status.Environment may hold. Memory is
// given as in "157MB". A key without a value is shown as <NA>, as Java does
// with what it does not know.
func EnvironmentKeys() []string { return slices.Clone(environmentKeys) }

func appendEnvi(b, _ []byte, s *Status) []byte {
	b = append(b, "Environment:\nzookeeper.version="...)
	b = append(b, s.Version...)
	b = append(b, '\n')
	for _, key := range environmentKeys {
		value, ok := s.Environment[key]
		if !ok {
			value = "<NA>"
		}
		b = append(b, key...)
		b = append(b, '=')
		b = append(b, value...)
		b = append(b, '\n')
	}
	return b
}

func appendWchs(b, _ []byte, s *Status) []byte {
	t := s.WatchTotals
	b = strconv.AppendInt(b, t.Connections, 10)
	b = append(b, " connections watching "...)
	b = strconv.AppendInt(b, t.Paths, 10)
	b = append(b, " paths\n"...)
	return appendLine(b, "Total watches:", t.Watches)
}

func appendWchc(b, _ []byte, s *Status) []byte {
	for _, w := range s.Watches {
		b = append(b, w.Session.String()...)
		b = append(b, '\n')
		b = appendIndented(b, w.Paths)
	}
	return append(b, '\n')
}

// appendWchp turns the watches by session into sessions by path, in the order
// of the paths.
func appendWchp(b, _ []byte, s *Status) []byte {
	type watch struct {
		path    string
		session wire.SessionID
	}
	var list []watch
	for _, w := range s.Watches {
		for _, path := range w.Paths {
			list = append(list, watch{path, w.Session})
		}
	}
	slices.SortStableFunc(list, func(x, y watch) int { return strings.Compare(x.path, y.path) })
	for i, w := range list {
		if i == 0 || list[i-1].path != w.path {
			b = append(b, w.path...)
			b = append(b, '\n')
		}
		b = append(b, '\t')
		b = append(b, w.session.String()...)
		b = append(b, '\n')
	}
	return append(b, '\n')
}

func appendIndented(b []byte, lines []string) []byte {
	for _, line := range lines {
		b = append(b, '\t')
		b = append(b, line...)
		b = append(b, '\n')
	}
	return b
}

func appendField(b []byte, key string, value int64) []byte {
	return strconv.AppendInt(append(b, key...), value, 10)
}

func appendLine(b []byte, key string, value int64) []byte {
	return append(appendField(b, key, value), '\n')
}
