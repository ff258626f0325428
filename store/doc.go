// Package store is what a member has on disk, and the one rule by which it
// comes back from there: the transaction log, a copy of the tree in Pebble, and
// snapshot files in ZooKeeper's format, in and out.
//
//	             txns ─► txnlog                              log.‹zxid›
//	               │                                             ▲
//	               ▼                                       ZooKeeper can go on
//	loop ─► znode.Tree ─► Cut ─► keeper ─► Pebble          from these two alone
//	              ▲      (Keep)  goroutine   │  │                ▼
//	              └──────── Open ◄───────────┘  └─ Snapshot ─► snapshot.‹zxid›
//	                          ▲                                  │
//	                          └── log tail; snapshot, if newer ◄─┘
//
// The log is the truth. Pebble runs without a WAL of its own: every batch that
// goes into it is a whole cut of the tree and carries a marker, the zxid up to
// which it is complete, so whatever a crash leaves there is exactly the tree at
// the marker, and the log behind it is replayed. Nothing waits for Pebble but
// the keeper.
//
// Below dataDir, beside ZooKeeper's version-2:
//
//	zooid/         Pebble; a copy, safe to remove while the server is stopped
//	session.key    the secret that session passwords are derived from
//	zooid.server   the number of the member whose directory it is
//	zooid.lock     locked while a server uses the directory (also in dataLogDir)
//	zooid.mismatch after which transaction the tree turned out to be wrong
//	zooid.closed   only while stopped in good order: the copy holds everything
//	zooid.install  only while a leader's snapshot takes the place of all this
//
// A member of an ensemble asks for more than one that runs alone. The tree and
// the store hold only what was committed, so what the log holds beyond is its
// Tail, which the peer gets, and not applied here; Truncate takes back what never
// will be. The epoch files keep two promises (Epochs). A learner that is behind
// is served from the log (ReadLog), or with a state from Pebble (Stream); where
// this member is the learner, Receive and Install put the leader's state in the
// place of its own:
//
//	leader ─► Receive ─► new-snapshot.…  ─► Install ─► snapshot.‹zxid›, empty log
//	                 └─► a fresh tree ──────────┴────► Tree.Adopt ─► new Pebble
//
// Promises:
//   - What the log reported durable is in the tree after Open, whenever and
//     however the process ended.
//   - At any instant the directories hold a snapshot in ZooKeeper's format, and
//     a log that goes on from it: ZooKeeper can be started on them. Conversely,
//     what ZooKeeper did to them meanwhile is taken up at the next Open.
//   - Install leaves the old state whole or the new one, whenever a crash comes,
//     and no record of the old log is ever replayed onto the new state.
//   - What the store holds is in the log durably; it never gets ahead of it.
//   - No log file is removed that the newest snapshot or the store still needs,
//     and the log is purged only up to what Pebble has flushed.
//   - Damage in the log is refused with the file and what to do; nothing is
//     repaired that a crash does not explain, and nothing is deleted. A snapshot
//     that is of no use is passed over, with a warning, if the log leads to its
//     zxid from an older state.
//   - The store is used only if it is of the history that log and snapshots tell:
//     the marker is compared with the log's record at its zxid, or the snapshot.
//     Else, and where its files are damaged, it is made again from these, with one
//     warning; only if they do not reach is the start refused.
//   - A store that knows more than log and snapshots is used only if these are gone
//     altogether and the server was stopped in good order (zooid.closed): then it
//     is all that was ever logged, the epochs are restored, and a snapshot of it is
//     written before anything is served. After a crash it may lack what was
//     acknowledged; and beside an earlier state nobody can tell files that were lost
//     from a backup that was put back on purpose. Both are refused, with the ways to
//     go on. The note goes before anything is logged or promised. A ZooKeeper that
//     ran in between leaves it: what that logged, and what was lost with its
//     version-2, nobody here knows of, nor would ZooKeeper.
//   - A full disk makes the store wait, not the server. A small tree never fills a
//     disk: what snapshots and log may take follows from the size of the volume
//     (space.go), and snapshots are written, and log files begun, by ZooKeeper's
//     snapCount and snapSizeLimitInKb (snaprule.go).
//
// Open, Tail and Close belong to whoever starts the member, Keep, ReplayTail and
// Install to its loop; Truncate to any goroutine while nothing is appended or
// applied. The rest may be called from any goroutine.
//
// Read store.go for the life of a Store, recover.go, belongs.go and replay.go for
// the rule, keep.go and edition.go for the way to Pebble and pebble.go, record.go
// and load.go for what lies there, then snapshot.go, snapshot_read.go and
// snapshot_write.go for ZooKeeper's format, snaprule.go for when it is written,
// and purge.go and space.go for what may go;
// history.go, epochs.go, stream.go, receive.go and install.go for the ensemble;
// files.go, lock.go, key.go, binding.go, closed.go, mismatch.go, rebuild.go, modes.go
// and room.go for the directories themselves.
package store
