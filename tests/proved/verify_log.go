// Checks an exported log with the transparency-log packages of the Go project: the checkpoint's signature, every entry's
// hash, the tree over them, and proofs read from the tiles. Nothing here comes from the program that made the export.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// tiles reads hash tiles from the exported directory, whose layout leaves out the tile height, which is always 8.
type tiles struct{ dir string }

func (tiles) Height() int { return 8 }

func (r tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := os.ReadFile(filepath.Join(r.dir, path))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func check(err error) {
	if err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

func read(parts ...string) []byte {
	data, err := os.ReadFile(filepath.Join(parts...))
	check(err)
	return data
}

func entries(dir string, size int64) [][]byte {
	var all [][]byte
	for n := int64(0); n*256 < size; n++ {
		width := size - n*256
		if width > 256 {
			width = 256
		}
		// The path of the bundle is that of a level 0 tile, but for the level's name.
		path := tlog.Tile{H: 8, L: 0, N: n, W: int(width)}.Path()
		data := read(dir, strings.Replace(path, "tile/8/0/", "tile/entries/", 1))
		for len(data) > 0 {
			length := int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
	}
	return all
}

func main() {
	dir := os.Args[1]
	verifier, err := note.NewVerifier(strings.Fields(string(read(dir, "vkey")))[0])
	check(err)
	signed, err := note.Open(read(dir, "checkpoint"), note.VerifierList(verifier))
	check(err)
	lines := strings.Split(signed.Text, "\n")
	if lines[0] != verifier.Name() {
		check(fmt.Errorf("the checkpoint is of %q, the key of %q", lines[0], verifier.Name()))
	}
	var size int64
	_, err = fmt.Sscan(lines[1], &size)
	check(err)
	root, err := tlog.ParseHash(lines[2])
	check(err)

	leaves := entries(dir, size)
	if int64(len(leaves)) != size {
		check(fmt.Errorf("%d entries for a tree of %d", len(leaves), size))
	}
	// A tree of their own over the entries, and the tree that the tiles describe.
	var stored []tlog.Hash
	own := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	for index, leaf := range leaves {
		hashes, err := tlog.StoredHashes(int64(index), leaf, own)
		check(err)
		stored = append(stored, hashes...)
	}
	rebuilt, err := tlog.TreeHash(size, own)
	check(err)
	if rebuilt != root {
		check(fmt.Errorf("the entries give the root %v, the checkpoint says %v", rebuilt, root))
	}
	tiled := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, tiles{dir})

	inclusion, step := 0, size/300+1
	for index := int64(0); index < size; index += step {
		proof, err := tlog.ProveRecord(size, index, tiled)
		check(err)
		check(tlog.CheckRecord(proof, size, root, index, tlog.RecordHash(leaves[index])))
		inclusion++
	}
	consistency := 0
	for old := int64(1); old <= size; old += step {
		before, err := tlog.TreeHash(old, own)
		check(err)
		proof, err := tlog.ProveTree(size, old, tiled)
		check(err)
		check(tlog.CheckTree(proof, size, root, old, before))
		consistency++
	}
	fmt.Printf("OK: %d entries, %d inclusion and %d consistency proofs\n", size, inclusion, consistency)
}
