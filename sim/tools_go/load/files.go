package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
)

// headBytes of a file's first bytes say what it holds: every file that a recipe makes begins with the hash of its identity.
const headBytes = 16

// key is what an execution's result depends on: its operation and all that it was given.
type key [headBytes]byte

func (k key) text() string { return hex.EncodeToString(k[:]) }

func hashed(parts ...string) key {
	h := sha256.New()
	for _, part := range parts {
		h.Write([]byte(part))
		h.Write([]byte{'\n'})
	}
	return key(h.Sum(nil)[:headBytes])
}

// keyOf hashes the operation and the heads of what the spec says was given. Names do not count: only contents.
func keyOf(s *spec) (key, error) {
	parts := []string{"exec", s.op}
	for _, path := range s.in {
		heads, err := headsBelow(path)
		if err != nil {
			return key{}, err
		}
		slices.SortFunc(heads, bytes.Compare)
		parts = append(parts, hashed(hex.EncodeToString(bytes.Join(heads, nil))).text())
	}
	return hashed(parts...), nil
}

func headsBelow(root string) ([][]byte, error) {
	var heads [][]byte
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		head := make([]byte, headBytes)
		n, err := io.ReadFull(file, head)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return err
		}
		heads = append(heads, head[:n])
		return nil
	})
	if os.IsNotExist(err) {
		return nil, nil // a COPY of a pattern that matched nothing
	}
	return heads, err
}

// write leaves the outputs, what goes to cache mounts, what is written and removed, and the key.
func write(s *spec, k key) error {
	for _, out := range s.outputs {
		if err := writeFile(out.path, headOf(s, k, out), out.bytes, s.fsync); err != nil {
			return err
		}
	}
	for _, mount := range s.mounts {
		share := s.cached / int64(len(s.mounts))
		if share > 0 {
			if err := writeFile(filepath.Join(mount, s.op), k, share, s.fsync); err != nil {
				return err
			}
		}
		if err := writeFile(filepath.Join(mount, filled), k, 0, false); err != nil {
			return err
		}
	}
	if s.scratch > 0 {
		path := "/.scratch"
		if err := writeFile(path, k, s.scratch, s.fsync); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	if s.state == "" {
		return nil
	}
	return writeFile(s.state, k, 0, false)
}

// headOf is what an output holds, by its mode.
func headOf(s *spec, k key, out output) key {
	seed := k.text()
	switch out.mode {
	case "key":
	case "same":
		seed = s.place
	case "random":
		var random key
		_, _ = rand.Read(random[:])
		seed = random.text()
	default: // a chance, drawn from the key alone: the same key always has the same output
		chance, _ := strconv.ParseFloat(out.mode, 64)
		drawn := hashed("same", k.text())
		if float64(binary.BigEndian.Uint64(drawn[:])>>11)/(1<<53) < chance {
			seed = s.place
		}
	}
	return hashed("out", seed, out.path)
}

const (
	chunkBytes = 1 << 20
	// Of each 64 bytes this many are random: gzip then leaves 0.35 to 0.4, as it does of usual images.
	randomBytes = 20
)

// pool is what large files are made of: longer than gzip's window of 32 KiB, so that its repetition does not compress.
var pool = sync.OnceValue(func() []byte {
	made := make([]byte, chunkBytes)
	x := uint64(0x9E3779B97F4A7C15)
	for at := 0; at < chunkBytes; at += 64 {
		for i := range randomBytes {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			made[at+i] = byte(x >> 32)
		}
	}
	return made
})

// writeFile writes a file of at least its head. Each chunk has the head and its number, so that no two chunks are equal.
func writeFile(path string, head key, size int64, fsync bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	if size <= headBytes {
		_, err = file.Write(head[:])
		return err
	}
	chunk := pool()
	copy(chunk, head[:])
	for done := int64(0); done < size; done += chunkBytes {
		binary.LittleEndian.PutUint64(chunk[headBytes:], uint64(done))
		if _, err := file.Write(chunk[:min(chunkBytes, size-done)]); err != nil {
			return err
		}
	}
	if fsync {
		return file.Sync()
	}
	return nil
}

// read reads files of the image until it has read enough, dropping them from the page cache first where the kernel lets it.
func read(size int64) error {
	if size <= 0 {
		return nil
	}
	buffer := make([]byte, chunkBytes)
	for left := size; left > 0; {
		before := left
		for _, root := range []string{"/out", "/in", "/.pad", os.Args[0]} {
			_ = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				if err != nil || left <= 0 || !entry.Type().IsRegular() {
					return nil
				}
				left -= readFile(path, buffer, left)
				return nil
			})
		}
		if left == before {
			return os.ErrNotExist
		}
	}
	return nil
}

func readFile(path string, buffer []byte, limit int64) int64 {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	dropCached(file)
	done := int64(0)
	for done < limit {
		n, err := file.Read(buffer[:min(int64(len(buffer)), limit-done)])
		done += int64(n)
		if err != nil {
			break
		}
	}
	return done
}
