// Package session knows what makes a client's session a session apart from the
// replicated table that lists it (that is znode's): its id, its password, its
// timeout, and whether it has been heard from lately.
//
//	handshake ─► Negotiate ─► IDs.Next ─► Keys.Password or JavaPassword ─► client
//	re-attach ─► Keys.Check
//	ticks     ─► Clock.Advance ─► Tracker.Due ─► sessions to close
//	requests  ─► stamp (Clock.Now, rounded up) ─► Tracker.Touch
//
// Promises:
//   - No session is due before its timeout has passed since it was last heard
//     from, and none is due later than timeout plus one tick plus the rounding of
//     its stamp, counted in time in which it could have been heard.
//   - A stall of the process (a paused VM, a slow disk, a long collection) is not
//     time: it expires nobody.
//   - Passwords of sessions made by a member alone cannot be computed without its
//     secret. In an ensemble they are ZooKeeper's, which every member can check,
//     Java ones included. Comparing one takes the same time wherever it is wrong.
//
// Nothing here reads a clock, starts a goroutine or locks: time and secrets come
// in as values. One goroutine at a time may use a value of this package; Keys
// is immutable and may be shared.
//
// Read ids.go, password.go, clock.go, then tracker.go.
package session
