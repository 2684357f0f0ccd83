// Command snapshots names what a kill would lose of a BuildKit root: snapshots that containerd's metadata has and the snapshotter
// has not.
//
// In: a root that no daemon uses. Out: their keys, one a line; none where no commit was under way.
//
// A result is finalised when the first step stands on it: containerd renames its snapshot in the snapshotter's database, and then,
// with two syncs of a disk between them, in its own (core/metadata/snapshot.go, Commit, of containerd v2.4.2). A daemon that
// starts on what lies between finds the result under neither name.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: snapshots ROOT")
		os.Exit(2)
	}
	workers, err := filepath.Glob(filepath.Join(os.Args[1], "*", "containerdmeta.db"))
	for i := 0; err == nil && i < len(workers); i++ {
		err = printMissing(workers[i])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "snapshots:", err)
		os.Exit(1)
	}
}

// printMissing compares one worker's two databases.
func printMissing(containerd string) error {
	named, err := namedIn(containerd)
	if err != nil || len(named) == 0 {
		return err
	}
	there := map[string]bool{}
	err = view(filepath.Join(filepath.Dir(containerd), "snapshots", "metadata.db"), func(tx *bolt.Tx) error {
		return eachBucket(in(tx, "v1", "snapshots"), func(name string, _ *bolt.Bucket) error {
			there[name] = true
			return nil
		})
	})
	if err != nil {
		return err
	}
	for name, key := range named {
		if !there[name] {
			fmt.Println(key)
		}
	}
	return nil
}

// namedIn finds the keys of snapshots by their names in the snapshotter: v1/NAMESPACE/snapshots/SNAPSHOTTER/KEY/name
// (core/metadata/buckets.go).
func namedIn(path string) (map[string]string, error) {
	named := map[string]string{}
	err := view(path, func(tx *bolt.Tx) error {
		return eachBucket(in(tx, "v1"), func(_ string, namespace *bolt.Bucket) error {
			return eachBucket(namespace.Bucket([]byte("snapshots")), func(_ string, snapshotter *bolt.Bucket) error {
				return eachBucket(snapshotter, func(key string, one *bolt.Bucket) error {
					named[string(one.Get([]byte("name")))] = key
					return nil
				})
			})
		})
	})
	return named, err
}

// view reads a database that need not be there.
func view(path string, read func(*bolt.Tx) error) error {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	db, err := bolt.Open(path, 0o400, &bolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer db.Close()
	return db.View(read)
}

// in is the bucket of that path, or nil.
func in(tx *bolt.Tx, path ...string) *bolt.Bucket {
	at := tx.Bucket([]byte(path[0]))
	for _, name := range path[1:] {
		if at != nil {
			at = at.Bucket([]byte(name))
		}
	}
	return at
}

// eachBucket visits the buckets directly in one that may be nil.
func eachBucket(in *bolt.Bucket, visit func(string, *bolt.Bucket) error) error {
	if in == nil {
		return nil
	}
	return in.ForEachBucket(func(name []byte) error { return visit(string(name), in.Bucket(name)) })
}
