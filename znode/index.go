package znode

import (
	"fmt"
	"hash/maphash"
)

// indexShards is the number of parts in which the index grows. At a million
// nodes a part has a thousand, and making it larger takes some ten
// microseconds.
const indexShards = 1 << 10

// index finds nodes by the hash of their whole path. It is an open-addressing
// table with linear probing in 1024 parts, each of which grows on its own.
// A slot holds the low 32 bits of the hash above the nodeID; 0 is free.
//
// The hash is seeded at random, because clients choose the paths; nothing that
// can be seen depends on the order of slots.
type index struct {
	seed   maphash.Seed
	shards [indexShards]indexShard
}

type indexShard struct {
	slots []uint64
	used  int
}

func (x *index) init() { x.seed = maphash.MakeSeed() }

// hash is what the other methods want to know of a path.
func (x *index) hash(path string) uint64 { return maphash.String(x.seed, path) }

func (x *index) shard(hash uint64) (*indexShard, uint32) { return &x.shards[hash>>54], uint32(hash) }

// home is where a hash's slot would best be.
func (s *indexShard) home(h uint32) int { return int(uint64(h) * uint64(len(s.slots)) >> 32) }

// find is the node with this path, or 0.
func (x *index) find(t *Tree, hash uint64, path string) nodeID {
	s, h := x.shard(hash)
	if s.used == 0 {
		return 0
	}
	for i := s.home(h); ; {
		slot := s.slots[i]
		if slot == 0 {
			return 0
		}
		if uint32(slot>>32) == h && t.isPath(nodeID(slot), path) {
			return nodeID(slot)
		}
		if i++; i == len(s.slots) {
			i = 0
		}
	}
}

// add enters n, which must not be there yet.
func (x *index) add(hash uint64, n nodeID) {
	s, h := x.shard(hash)
	if (s.used+1)*5 > len(s.slots)*4 {
		s.grow()
	}
	s.put(uint64(h)<<32 | uint64(n))
	s.used++
}

func (s *indexShard) put(slot uint64) {
	i := s.home(uint32(slot >> 32))
	for s.slots[i] != 0 {
		if i++; i == len(s.slots) {
			i = 0
		}
	}
	s.slots[i] = slot
}

func (s *indexShard) grow() {
	old := s.slots
	s.slots = make([]uint64, max(8, len(old)*3/2))
	for _, slot := range old {
		if slot != 0 {
			s.put(slot)
		}
	}
}

// remove takes n out. The slots behind it move up where that brings them
// nearer to their homes, so that no search ends early and no marks remain.
func (x *index) remove(hash uint64, n nodeID) {
	s, h := x.shard(hash)
	slot := uint64(h)<<32 | uint64(n)
	size := len(s.slots)
	i := s.home(h)
	for s.slots[i] != slot {
		if s.slots[i] == 0 {
			panic(fmt.Sprintf("znode: node %d is not in the index", n))
		}
		i = (i + 1) % size
	}
	for j := (i + 1) % size; s.slots[j] != 0; j = (j + 1) % size {
		home := s.home(uint32(s.slots[j] >> 32))
		if (j-home+size)%size >= (j-i+size)%size {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
	s.used--
}
