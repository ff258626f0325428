// Package txnlog is a member's memory of what it promised: log files of
// transactions, byte for byte as Apache ZooKeeper 3.9 writes and reads them, and
// in the padding that follows, at which ZooKeeper does not look, a mark.
//
//	Append ─► pending ─► [one write, one fdatasync] ─► Durable(zxid)
//	              ▲             │
//	              └─ gathers ◄──┘ while the disk is busy
//
//	Open ─► what is there? ─► torn end cut, damage refused ─► Replay ─► Start
//
//	Read ◄─ durable records, from the log's base on, for a learner that is behind
//	Truncate, Reset: what was never committed, or led to another state, goes
//
// Promises:
//   - A zxid that was reported to Durable survives a crash of the process and
//     of the machine (unless NoSync was asked for).
//   - Records come back in zxid order, whole, and without holes inside an epoch.
//   - What a crash can leave behind is repaired and reported (Repairs). What it
//     cannot is a DamageError, and then nothing on disk is changed. Where the
//     file has a mark only the last group can be torn: what was synced before is
//     never cut off, whatever its damage looks like.
//   - Truncate takes away exactly what it is asked to, or nothing, whenever a
//     crash comes; and neither leaves a hole, also for who knows nothing of it.
//   - Read gives durable records only, and none behind a hole: the base, in a
//     file of its own, says where the contiguous run begins.
//   - A failed fsync is final: it is reported once and nothing is written any
//     more. A full disk is not: the write is tried again until there is room.
//
// One goroutine, the log's own, writes. Append, Roll, Read, Purge and the
// questions may come from any goroutine; Append never waits for the disk. Replay
// belongs before the first Append; Truncate and Reset wait for the disk, and
// nobody appends meanwhile.
//
// Two small files lie beside the log, which ZooKeeper does not look at:
//
//	zooid.base   the base; without it the log serves no learner, and is as good
//	zooid.cut    only while Truncate works: how the next Open is to finish it
//
// The log decodes transactions only to order them. What they mean, and whether
// a log record was ever committed, is for store and the peer to know.
//
// Read log.go, then writer.go, file.go and groupmark.go for the way to the disk,
// scan.go, recover.go and replay.go for the way back, and read.go, base.go and truncate.go
// for what an ensemble asks.
package txnlog
