package socket

import (
	"sync"
	"sync/atomic"
)

// Budget is memory that many connections use together: what waits to be written
// to them, and what has arrived of frames that are not whole yet. A bound for
// each connection alone is none for all of them.
//
// Nobody has to ask before using memory. A connection says what it holds, and
// when all together hold more than the limit, the one that holds the most is
// told to end, then the next, until the rest fits. That happens in a goroutine
// of the budget's, which exists only as long as there is too much, so that
// whoever adds the last byte may hold any lock.
type Budget struct {
	limit int64
	used  atomic.Int64
	// cutting says that the goroutine runs.
	cutting atomic.Bool

	mu       sync.Mutex
	accounts map[*Account]struct{}
}

// Account is what one connection uses of a Budget.
type Account struct {
	budget *Budget
	held   atomic.Int64
	cut    func(held, limit int64)
	told   atomic.Bool // to end: what it holds counts no more
}

// NewBudget makes a budget of so many bytes; 0 is no limit.
func NewBudget(limit int64) *Budget {
	return &Budget{limit: limit, accounts: map[*Account]struct{}{}}
}

// Used is how many bytes all accounts hold together.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit is the bound in bytes, 0 for none.
func (b *Budget) Limit() int64 { return b.limit }

// Open enters a connection. When it is the one that holds the most while there
// is too much, cut is called, once, with no lock held, with what it holds and
// the limit: it ends the connection and gives its memory back.
func (b *Budget) Open(cut func(held, limit int64)) *Account {
	a := &Account{budget: b, cut: cut}
	b.mu.Lock()
	b.accounts[a] = struct{}{}
	b.mu.Unlock()
	return a
}

// Hold says how many bytes the connection holds now, in place of what it said
// before. It never blocks. A connection that was told to end counts no more,
// though it may need a moment to give back what it holds.
func (a *Account) Hold(n int64) {
	if a.told.Load() {
		return
	}
	b, old := a.budget, a.held.Swap(n)
	if n == old {
		return
	}
	if used := b.used.Add(n - old); n > old && b.limit > 0 && used > b.limit && b.cutting.CompareAndSwap(false, true) {
		go b.cutDown()
	}
}

// Held is what the connection holds.
func (a *Account) Held() int64 { return a.held.Load() }

// Close takes the connection out of the budget, with what it holds. Hold must
// not be called any more.
func (a *Account) Close() {
	b := a.budget
	b.mu.Lock()
	delete(b.accounts, a)
	b.mu.Unlock()
	b.used.Add(-a.held.Swap(0))
}

// cutDown has connections end, the one that holds the most first, until the
// rest fits.
func (b *Budget) cutDown() {
	for {
		for b.used.Load() > b.limit {
			a := b.worst()
			if a == nil {
				break
			}
			a.told.Store(true)
			held := a.held.Swap(0)
			b.used.Add(-held)
			a.cut(held, b.limit)
		}
		b.cutting.Store(false)
		// Somebody who exceeded the limit just before that started nobody.
		if b.used.Load() <= b.limit || b.worst() == nil || !b.cutting.CompareAndSwap(false, true) {
			return
		}
	}
}

// worst is the account that holds the most of those not told to end yet; nil
// if there is none that holds anything.
func (b *Budget) worst() (worst *Account) {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := int64(0)
	for a := range b.accounts {
		if held := a.held.Load(); held > most && !a.told.Load() {
			worst, most = a, held
		}
	}
	return worst
}
