package session

// stallFactor says from when on a gap between two ticks is a stall: when it is
// longer than this many expected gaps.
const stallFactor = 2

// Clock measures, in ms, the time in which a member could have heard its
// clients. It is moved by its owner's ticks. The zero Clock stands at 0.
//
// It never moves by more than the expected gap at once, so Now plus the
// expected gap is a ceiling until the next Advance: what is heard in between is
// stamped with that ceiling, and no stamp is older than the moment it stands for.
type Clock struct {
	now int64
	// owed is time that has passed and is not in now yet, because a tick came
	// late; the next tick, which then comes early, makes up for it.
	// 0 <= owed <= stallFactor · the expected gap.
	owed int64
}

// Advance reports that gapMs have passed since the last call, where expectedMs
// should have. A gap of more than twice that is a stall: the process stood
// still, what its clients sent meanwhile is still to be read, and the gap
// counts as expectedMs. A gap below 0 counts as 0.
func (c *Clock) Advance(gapMs, expectedMs int64) {
	if gapMs > stallFactor*expectedMs {
		gapMs = expectedMs
	}
	c.owed = min(c.owed+max(gapMs, 0), stallFactor*expectedMs)
	step := min(c.owed, expectedMs)
	c.now += step
	c.owed -= step
}

// Now is the time in ms.
func (c *Clock) Now() int64 { return c.now }
