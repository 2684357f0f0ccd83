package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// spec is what a step uses and leaves. Amounts are those of one execution without contention.
type spec struct {
	op       string        // op=HEX: what tells this command from others
	place    string        // place=HEX: what its output depends on when it survives changed inputs
	in       []string      // in=PATH: a file or folder whose files' first bytes are part of the key; any number
	latency  time.Duration // latency=1.5s
	download int64         // download=BYTES, of the control server
	read     int64         // read=BYTES, of files that are there, past the page cache
	cpu      time.Duration // cpu=1.5s: of all threads
	serial   float64       // serial=0.1: the share of cpu on one thread, first
	threads  int           // threads=4
	memory   int64         // memory=BYTES, touched, held to the end
	outputs  []output      // out=PATH:BYTES:MODE, any number; MODE is key, same, random, or a chance of same
	scratch  int64         // scratch=BYTES, written and removed again
	mounts   []string      // mount=PATH: a cache mount, any number
	cached   int64         // cached=BYTES, written to the cache mounts together
	fsync    bool          // fsync=1
	overlap  bool          // overlap=1: the phases run at once
	warm     float64       // warm=0.3: the share of all amounts that is left when the cache mounts are filled
	exit     int           // exit=1
	state    string        // state=PATH: where the key is left for the steps above
	control  string        // control=HOST:PORT
}

type output struct {
	path  string
	bytes int64
	mode  string
}

// filled marks a cache mount that a step has filled.
const filled = ".filled"

func parse(text string) (*spec, error) {
	s := &spec{threads: 1, warm: 1}
	for _, part := range strings.Split(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not KEY=VALUE", part)
		}
		if err := s.set(name, value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if s.threads < 1 {
		return nil, fmt.Errorf("threads: %d", s.threads)
	}
	return s, nil
}

func (s *spec) set(name, value string) (err error) {
	switch name {
	case "op":
		s.op = value
	case "place":
		s.place = value
	case "in":
		s.in = append(s.in, value)
	case "mount":
		s.mounts = append(s.mounts, value)
	case "state":
		s.state = value
	case "control":
		s.control = value
	case "latency":
		s.latency, err = time.ParseDuration(value)
	case "cpu":
		s.cpu, err = time.ParseDuration(value)
	case "serial":
		s.serial, err = strconv.ParseFloat(value, 64)
	case "warm":
		s.warm, err = strconv.ParseFloat(value, 64)
	case "threads":
		s.threads, err = strconv.Atoi(value)
	case "exit":
		s.exit, err = strconv.Atoi(value)
	case "download":
		s.download, err = strconv.ParseInt(value, 10, 64)
	case "read":
		s.read, err = strconv.ParseInt(value, 10, 64)
	case "memory":
		s.memory, err = strconv.ParseInt(value, 10, 64)
	case "scratch":
		s.scratch, err = strconv.ParseInt(value, 10, 64)
	case "cached":
		s.cached, err = strconv.ParseInt(value, 10, 64)
	case "fsync":
		s.fsync = value == "1"
	case "overlap":
		s.overlap = value == "1"
	case "out":
		err = s.addOutput(value)
	default:
		err = fmt.Errorf("unknown")
	}
	return err
}

func (s *spec) addOutput(value string) error {
	parts := strings.Split(value, ":")
	if len(parts) != 3 {
		return fmt.Errorf("%q is not PATH:BYTES:MODE", value)
	}
	bytes, err := strconv.ParseInt(parts[1], 10, 64)
	s.outputs = append(s.outputs, output{parts[0], bytes, parts[2]})
	return err
}

// scale multiplies time and work. Outputs keep their size, for the same key must give the same bytes: what a larger factor would
// write beyond them is written and removed.
func (s *spec) scale(factor float64) {
	by := func(amount int64) int64 { return int64(math.Round(float64(amount) * factor)) }
	var kept int64
	for _, out := range s.outputs {
		kept += out.bytes
	}
	s.latency = time.Duration(by(int64(s.latency)))
	s.cpu = time.Duration(by(int64(s.cpu)))
	s.download, s.read, s.cached = by(s.download), by(s.read), by(s.cached)
	s.scratch = by(s.scratch) + max(0, by(kept)-kept)
}

// shrink leaves the share of the work that filled cache mounts do not save; nothing more goes into them.
func (s *spec) shrink() {
	s.scale(s.warm)
	s.cached = 0
}

func (s *spec) isWarm() bool {
	for _, mount := range s.mounts {
		if _, err := os.Stat(filepath.Join(mount, filled)); err != nil {
			return false
		}
	}
	return len(s.mounts) > 0
}
