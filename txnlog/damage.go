package txnlog

import "fmt"

// DamageError is a log that no interrupted write explains. It is refused as it
// is: to go on from there could forget transactions that were acknowledged.
type DamageError struct {
	File   string // with its directory
	Offset int64  // of the first record, or of the header, that cannot stand; bytes
	Reason string
	Advice string
}

// Error tells all of it in one line.
func (e *DamageError) Error() string {
	return fmt.Sprintf("transaction log %s is damaged at byte %d: %s. Nothing was changed. %s", e.File, e.Offset, e.Reason, e.Advice)
}

// The things an operator can do about a DamageError. They are sentences.
const (
	adviceRestore = "Restore this file from a backup; or, if the other members of the ensemble are healthy, " +
		"move this member's data directories away and let it synchronize anew"
	adviceHole = "Put the missing log files back, or start from a newer snapshot; or, if the other members of the ensemble " +
		"are healthy, move this member's data directories away and let it synchronize anew."
)

// adviceCut adds to adviceRestore how to give up what lies behind the damage.
func adviceCut(file string, offset int64) string {
	return fmt.Sprintf("%s. As a last resort, to lose every transaction from here on: cut the file with "+
		"`truncate -s %d %s` and move all later log files away.", adviceRestore, offset, file)
}

// Repair is a change that Open makes, or Inspect proposes, to undo a write that
// was interrupted. Nothing that it takes away was ever reported durable, as far
// as the file can tell.
type Repair struct {
	File   string // without its directory
	Remove bool   // the file goes as a whole: it holds no record
	Offset int64  // from here
	Bytes  int64  // so many bytes become zeros
	Reason string
}

// String tells the repair in a line.
func (r Repair) String() string {
	if r.Remove {
		return fmt.Sprintf("%s: removed: %s", r.File, r.Reason)
	}
	return fmt.Sprintf("%s: %d bytes cut at byte %d: %s", r.File, r.Bytes, r.Offset, r.Reason)
}
