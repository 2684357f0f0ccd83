package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// quantum is how much CPU time a thread takes from the common budget at once: short beside any step, long beside a clock call.
const quantum = 500 * time.Microsecond

// burn uses the CPU time that is left of the spec's: the serial share on one thread, then the rest on all of them. The threads
// take from one budget, so that the sum is exact and one that the kernel favours does more, as jobs of a compiler would.
func burn(s *spec) {
	left := s.cpu
	if !s.overlap { // else other phases use CPU meanwhile, which is not this one's
		left -= used(processClock)
	}
	serial := min(left, time.Duration(float64(s.cpu)*s.serial))
	spend(serial, 1)
	if left > serial {
		spend(left-max(serial, 0), s.threads)
	}
}

func spend(total time.Duration, threads int) {
	if total <= 0 {
		return
	}
	var budget atomic.Int64
	budget.Store(int64(total))
	var all sync.WaitGroup
	for range threads {
		all.Go(func() {
			runtime.LockOSThread() // never unlocked: the clock is this thread's, and the thread ends with its goroutine
			before := used(threadClock)
			for {
				share := min(quantum, time.Duration(budget.Load()))
				if share <= 0 {
					return
				}
				now := before
				for now-before < share {
					spin(20000)
					now = used(threadClock)
				}
				budget.Add(-int64(now - before))
				before = now
			}
		})
	}
	all.Wait()
}

var sink atomic.Uint64

// spin is about 20 microseconds of arithmetic in registers: no memory traffic that would slow others down.
func spin(rounds int) {
	x := uint64(88172645463325252)
	for range rounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	sink.Store(x)
}

const hugePage = 2 << 20

// hold maps memory and touches every page. In pieces, for an address space of 32 bits may have no large gap.
func hold(bytes int64) ([][]byte, error) {
	var held [][]byte
	for bytes > 0 {
		size := min(bytes, 64<<20)
		piece, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE,
			syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			return nil, fmt.Errorf("cannot hold %d more bytes: %w", bytes, err)
		}
		if size >= hugePage {
			_ = syscall.Madvise(piece, 14) // MADV_HUGEPAGE: touching then costs a tenth; without it, the same
		}
		for at := 0; at < len(piece); at += 4096 {
			piece[at] = 1
		}
		held = append(held, piece)
		bytes -= size
	}
	return held, nil
}
