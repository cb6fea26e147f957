package harness

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
)

func searchWorkload() *Workload {
	w := chatWorkload("x")
	w.Name, w.Kind, w.Tokens = "similarity-1000x768", kindSimilarity, 0
	w.Drive, w.Concurrency = driveClosed, 1
	w.Vectors, w.Top, w.Dimensions = 200, 10, 32
	w.WarmupSeconds, w.DurationSeconds, w.DrainSeconds = 0, 0.1, 0
	return w
}

func TestSearchesAreCheckedAgainstTheExactAnswer(t *testing.T) {
	rows := rowsOf(launch(t, searchWorkload(), &memory{}))
	if len(rows) < 100 {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		if r[5] != 0.0 {
			t.Fatalf("row %v", r)
		}
	}
	for name, spoil := range map[string]func([]hit) []hit{
		"another number of hits": func(hits []hit) []hit { return hits[:9] },
		"twice":                  func(hits []hit) []hit { hits[9] = hits[8]; return hits },
		"not in order":           func(hits []hit) []hit { slices.Reverse(hits); return hits },
		"score":                  func(hits []hit) []hit { hits[0].score = 1 - hits[0].score; return hits },
		"not among the nearest":  func(hits []hit) []hit { hits[9].id = 10_000; return hits },
		"a hit's score":          func(hits []hit) []hit { hits[0].score = float32(math.NaN()); return hits },
	} {
		texts := ofKind(launch(t, searchWorkload(), &memory{spoil: spoil}), "error")
		if len(texts) == 0 || !strings.Contains(texts[0]["text"].(string), name) || texts[0]["outcome"] != float64(WrongAnswer) {
			t.Errorf("%s: %v", name, texts)
		}
	}
}

func TestTiesMayStandInEitherOrderButNoneOfTheNearestMayBeMissing(t *testing.T) {
	vectors := [][]float32{{1, 0}, {0.9, 0}, {0.5, 0}, {0.5, 0}, {0.5, 0}, {0.1, 0}}
	set := &searchSet{top: 3}
	set.exact[0] = nearest(vectors, []float32{1, 0}, 3)
	for _, c := range []struct {
		ids  []int
		want Outcome
	}{
		{[]int{0, 1, 2}, OK}, {[]int{0, 1, 4}, OK},
		{[]int{0, 2, 3}, WrongAnswer}, // a tie in place of vector 1
		{[]int{1, 0, 2}, WrongAnswer}, {[]int{0, 1, 5}, WrongAnswer}, {[]int{0, 1, 1}, WrongAnswer}, {nil, WrongAnswer},
	} {
		var hits []hit
		for _, id := range c.ids {
			hits = append(hits, hit{id, vectors[id][0]})
		}
		if got, text := set.fault(0, hits); got != c.want {
			t.Errorf("%v: %d (%s)", c.ids, got, text)
		}
	}
}

func TestVectorsAreUnitLengthAndPureFunctionsOfTheSeed(t *testing.T) {
	a, b, c := unitVectors(1, 3, 768), unitVectors(1, 3, 768), unitVectors(2, 3, 768)
	for i := range a {
		if length := dot(a[i], a[i]); math.Abs(length-1) > 1e-6 {
			t.Errorf("vector %d has length %v", i, length)
		}
		if !slices.Equal(a[i], b[i]) || slices.Equal(a[i], c[i]) {
			t.Errorf("vector %d is no pure function of its seed", i)
		}
	}
}

func TestPicturesArePinned(t *testing.T) {
	for variant := range uint64(2) {
		one := picture(variant)
		decoded, err := png.Decode(bytes.NewReader(one.Data))
		if err != nil || decoded.Bounds().Dx() != pictureSide || decoded.Bounds().Dy() != pictureSide || one.MIME != "image/png" {
			t.Errorf("picture %d: %v", variant, err)
		}
		if sha256.Sum256(one.Data) != sha256.Sum256(picture(variant).Data) {
			t.Errorf("picture %d is another one each time", variant)
		}
	}
	if bytes.Equal(picture(0).Data, picture(1).Data) {
		t.Error("two variants, one picture")
	}
}

func TestInputsHaveTheTokensThatTheModelCounts(t *testing.T) {
	w := embedWorkload("x")
	if got := len(strings.Fields(w.input())); got != 512 {
		t.Errorf("the stub would count %d tokens", got)
	}
	w.Model, w.ModelPath, w.TextUnit, w.SpecialTokens = "engine", "/repro/models/embed.gguf", unitCharacters, 1
	if text := w.input(); len(text) != 511 || strings.HasSuffix(text, " ") || !w.ours() {
		t.Errorf("%d characters, the last is %q", len(text), text[len(text)-1:])
	}
	w.OwnModel, w.TextUnit = true, unitWords
	if text := w.input(); len(text) != 511 || w.ours() {
		t.Errorf("a model of the user's own gets %d characters, ours %v", len(text), w.ours())
	}
	w.OwnModel, w.ModelPath, w.SpecialTokens = false, "/repro/models/encoder", 2
	words := strings.Fields(w.input())
	if len(words) != 510 || slices.Contains(words, "") || words[0] == words[1] {
		t.Errorf("%d words: %.40q", len(words), words)
	}
	for _, word := range words {
		if !slices.Contains(listedWords(), word) {
			t.Fatalf("%q is not in the encoder's list", word)
		}
	}
	if chat := chatWorkload("x"); chat.contextTokens() < len(chat.input())+chat.Tokens {
		t.Errorf("context of %d tokens", chat.contextTokens())
	}
}

// listedWords is the list as the model's generator makes it (images/models/vocabulary.go).
func listedWords() []string {
	syllable := func(n int) string { return string("bdfgklmnprst"[n/5]) + string("aeiou"[n%5]) }
	var all []string
	for i := range 512 {
		n := i * 7 % 3600
		all = append(all, syllable(n/60)+syllable(n%60))
	}
	return all
}

func TestTextOfRealModelsIsJudgedByWhatIsKnown(t *testing.T) {
	foreign, ours := chatWorkload("x"), chatWorkload("x")
	foreign.Model, ours.Model, ours.TextUnit = "llama", "other", unitCharacters
	foreign.Tokens, ours.Tokens = 4, 4
	say := func(pieces []string, reason string, output int) func(*Answer) {
		return func(a *Answer) {
			for _, one := range pieces {
				a.Text(one)
			}
			a.Finish(reason)
			a.Usage(0, output)
		}
	}
	for _, c := range []struct {
		name string
		w    *Workload
		say  func(*Answer)
		want Outcome
	}{
		{"the server's count is right", foreign, say([]string{"ab", "cd"}, "stop", 4), OK},
		{"the server's count is wrong", foreign, say([]string{"a", "b", "c", "d"}, "length", 3), WrongAnswer},
		{"several tokens in a piece, ended by the limit", foreign, say([]string{"ab", "cd"}, "length", 0), OK},
		{"ended early", foreign, say([]string{"ab", "cd"}, "stop", 0), WrongAnswer},
		{"a piece for each token", foreign, say([]string{"a", "b", "c", "d"}, "stop", 0), OK},
		{"too many pieces", foreign, say([]string{"a", "b", "c", "d", "e"}, "length", 0), WrongAnswer},
		{"no finish reason", foreign, say([]string{"ab"}, "", 4), TruncatedStream},
		{"no text", foreign, say(nil, "length", 4), WrongAnswer},
		{"words of our model", ours, say([]string{" ba", "be bi", " bo bu"}, "length", 0), OK},
		{"a word of our model is lost", ours, say([]string{" baba", " bebe", " bibi"}, "length", 0), WrongAnswer},
	} {
		call := c.w.newCall()
		c.say(&call.answer)
		if got, text := newJudge(c.w, nil).fault(0, &call.answer); got != c.want {
			t.Errorf("%s: %d (%s), want %d", c.name, got, text, c.want)
		}
	}
}

func TestTheSameTextGetsTheSameEmbedding(t *testing.T) {
	w := embedWorkload("x")
	w.Model, w.Drive, w.Concurrency, w.Dimensions = "other", driveClosed, 1, 8
	answer := func(last float32) *Answer {
		a := &Answer{}
		a.Vector32([]float32{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, last})
		return a
	}
	j := newJudge(w, nil)
	for i, want := range []Outcome{OK, OK, WrongAnswer, OK} {
		if got, _ := j.fault(0, answer([]float32{1, 1, 1.0000001, 1}[i])); got != want {
			t.Errorf("answer %d: %d", i, got)
		}
	}
	w.Concurrency = 2 // a server may batch, and add in another order
	j = newJudge(w, nil)
	j.fault(0, answer(1))
	if got, _ := j.fault(0, answer(1.0000001)); got != OK {
		t.Errorf("with two requests at a time: %d", got)
	}
	wide := &Answer{}
	wide.Vector64([]float64{0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 1})
	if wide.numbers != answer(1).numbers {
		t.Error("float64 of the same numbers is another embedding")
	}
}

// seer is an SDK with a real model behind it, which may be blind.
type seer struct{ blind bool }

func (s seer) Describe() Description         { return Description{Moved: map[string]string{"a": "b"}} }
func (s seer) Open(Settings) (Client, error) { return s, nil }
func (s seer) Close() error                  { return nil }
func (s seer) StreamImage(_ context.Context, _ string, image Image, tokens int, a *Answer) error {
	if bytes.Equal(image.Data, picture(1).Data) && !s.blind {
		a.Text("another ")
	}
	a.Text("text")
	a.Usage(10, tokens)
	a.Finish("length")
	return nil
}

func (s seer) Embed(_ context.Context, text string, a *Answer) error {
	vector := make([]float32, 768)
	vector[700] = 1
	if !s.blind {
		vector[701] = float32(len(text))
	}
	a.Vector32(vector)
	return nil
}

func TestARealModelMustSeeTheImageAndReadTheText(t *testing.T) {
	image, text := closedWorkload(1), closedWorkload(1)
	image.Name, image.Kind, image.Model, image.Tokens = "chat-image", kindImage, "real", 32
	text.Name, text.Kind, text.Model = "embed-512", kindEmbed, "real"
	for _, w := range []*Workload{image, text} {
		for _, blind := range []bool{false, true} {
			s, _ := testSession(t, w, seer{blind})
			err := s.prepare()
			if blind != (err != nil) || blind && !strings.Contains(err.Error(), "does not reach the model") {
				t.Errorf("%s, blind %v: %v", w.Name, blind, err)
			}
		}
	}
}

func TestAskedForItsDefaultsAnSDKReportsNothingMoved(t *testing.T) {
	w := chatWorkload("x")
	w.Name, w.Kind, w.SDKDefaults = "chat-image", kindImage, true
	_, read := testSession(t, w, seer{})
	if moved := read()[0]["settings"].(map[string]any); len(moved) != 0 {
		t.Errorf("moved %v", moved)
	}
	if !w.settings().Defaults {
		t.Error("the adapter is not told")
	}
}

func TestWhatAnSDKCannotDoIsNamed(t *testing.T) {
	for kind, want := range map[string]string{kindChat: "no streamed chat", kindSimilarity: "no search"} {
		w := searchWorkload()
		w.Kind, w.Tokens = kind, 1
		if _, err := newSession(w, seer{}, Identity{}, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	w := searchWorkload()
	s, _ := testSession(t, w, &broken{})
	if err := s.prepare(); !errors.Is(err, errTired) {
		t.Errorf("a load that fails: %v", err)
	}
}

type broken struct{ memory }

func (b *broken) Open(Settings) (Client, error)           { return b, nil }
func (b *broken) Load(context.Context, [][]float32) error { return errTired }
