package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// written gives the digest of every file of every model.
func written(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, model := range catalogue() {
		for path, write := range model {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			sum := sha256.Sum256(out.Bytes())
			found[path] = hex.EncodeToString(sum[:])
		}
	}
	return found
}

func TestModelsAreWhatIsPinned(t *testing.T) {
	text, err := os.ReadFile("models.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pinned := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^      (\S+): ([0-9a-f]{64})$`).FindAllStringSubmatch(string(text), -1) {
		pinned[row[1]] = row[2]
	}
	found := written(t)
	if len(found) != len(pinned) {
		t.Errorf("%d files are written, %d pinned", len(found), len(pinned))
	}
	for path, sum := range found {
		if pinned[path] != sum {
			t.Errorf("%s: written %s, pinned %s", path, sum, pinned[path])
		}
	}
}

func TestFilesAreWrittenBelowTheFolder(t *testing.T) {
	folder := t.TempDir()
	if err := catalogue()["encoder"].writeBelow(folder); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "encoder", "model.onnx")); err != nil {
		t.Fatal(err)
	}
	full := files{"x": func(io.Writer) error { return os.ErrClosed }}
	if err := full.writeBelow(folder); err == nil {
		t.Fatal("a writer's error was lost")
	}
}

func TestHalf(t *testing.T) {
	for _, row := range []struct {
		value float32
		want  uint16
	}{
		{0, 0}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {65520, 0x7c00}, {float32(math.Inf(-1)), 0xfc00},
		{0x1p-24, 0x0001}, {0x1p-25, 0x0000}, {0x1.8p-25, 0x0001}, {0x1p-14, 0x0400}, {0x1.ff8p-15, 0x03ff}, {0x1.ffcp-15, 0x0400},
		{1 + 0x1p-11, 0x3c00}, {1 + 0x3p-11, 0x3c02}, {0x1.ffffp0, 0x4000}, // ties to even; a carry into the exponent
	} {
		if got := half(row.value); got != row.want {
			t.Errorf("half(%g) = %#04x, want %#04x", row.value, got, row.want)
		}
	}
}

func TestQuantBlocksKeepValuesWithinHalfAStep(t *testing.T) {
	values := bells("quant", 4*quantBlock, 1)
	copy(values[quantBlock:], make([]float32, quantBlock)) // a block of zeros has no scale
	data := quantBytes(values)
	if len(data) != 4*(quantBlock+2) {
		t.Fatalf("%d bytes", len(data))
	}
	for i, value := range values {
		block := data[i/quantBlock*(quantBlock+2):]
		var most float64
		for _, one := range values[i/quantBlock*quantBlock : (i/quantBlock+1)*quantBlock] {
			most = max(most, math.Abs(float64(one)))
		}
		scale := most / quantMost
		if got := float64(int8(block[2+i%quantBlock])) * scale; math.Abs(got-float64(value)) > 0.501*scale {
			t.Fatalf("value %d: %g became %g", i, value, got)
		}
	}
}

func TestStreamsAreNearlyNormalAndDifferByName(t *testing.T) {
	const n = 200000
	values := bells("a", n, 2)
	var sum, squares float64
	for _, value := range values {
		sum += float64(value)
		squares += float64(value) * float64(value)
	}
	if mean := sum / n; math.Abs(mean) > 0.03 {
		t.Errorf("mean %g", mean)
	}
	if deviation := math.Sqrt(squares / n); math.Abs(deviation-2) > 0.02 {
		t.Errorf("deviation %g", deviation)
	}
	if bells("b", 1, 2)[0] == values[0] {
		t.Error("two tensors share a stream")
	}
}

func TestWordsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range allWords {
		if w := word(i); seen[w] || len(w) != 4 {
			t.Fatalf("word %d: %q", i, w)
		} else {
			seen[w] = true
		}
	}
}

func TestNoPieceJoinsTwoCharacters(t *testing.T) {
	v := newVocabulary(256)
	for id := range v.words {
		if piece := []rune(v.tokens[id]); v.types[id] == tokenNormal && len(piece) != 1 {
			t.Errorf("token %d is %q", id, v.tokens[id])
		}
	}
	for _, token := range v.tokens[v.words:] {
		if piece := []rune(token); string(piece[0]) != space || len(piece) != 5 {
			t.Errorf("word %q", token)
		}
	}
}

func TestOnlyWordsCanBeSampled(t *testing.T) {
	var g gguf
	model := chatModel()
	words := newVocabulary(model.words)
	model.weights(&g, words)
	output := g.tensors[len(g.tensors)-1]
	for token := range len(words.tokens) {
		first := uint16(output.data[2*token*model.width]) | uint16(output.data[2*token*model.width+1])<<8
		if wanted := token >= words.words; (first == 0) != wanted || !wanted && first != half(neverSampled) {
			t.Fatalf("token %d (%q): %#04x", token, words.tokens[token], first)
		}
	}
}
