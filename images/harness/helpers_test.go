package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"sealbench.org/harness/internal/mono"
)

func chatWorkload(url string) *Workload {
	return &Workload{
		Schema: schemaWorkload, Name: "chat-stream-128", Drive: driveOpen, Arrival: arrivalPoisson, RateHz: 40, Seed: 1,
		WarmupSeconds: 0.1, DurationSeconds: 0.5, DrainSeconds: 0.1, MaxInFlight: 512, RequestTimeoutSeconds: 30,
		BaseURL: url, Model: stubModel, Tokens: 128, Dimensions: 768, TextUnit: unitWords, Concurrency: 1,
	}
}

func embedWorkload(url string) *Workload {
	w := chatWorkload(url)
	w.Name, w.Tokens = "embed-512", 512
	return w
}

// fake is an SDK that does what a function says.
type fake struct {
	stream func(ctx context.Context, answer *Answer) error
}

func (f fake) Describe() Description         { return Description{Moved: map[string]string{"retries": "0"}} }
func (f fake) Open(Settings) (Client, error) { return f, nil }
func (f fake) Close() error                  { return nil }
func (f fake) Stream(ctx context.Context, _ string, _ int, answer *Answer) error {
	return f.stream(ctx, answer)
}

// good streams a right answer at once.
func good(_ context.Context, answer *Answer) error {
	token := stampToken(mono.Now())
	for range 128 {
		answer.Text(token)
	}
	answer.Finish("length")
	return nil
}

// stampVector is an embedding as the stub's: a write time, then numbers that never change.
func stampVector(size int) []float32 {
	vector := make([]float32, size)
	vector[3] = 1.0 / pieceScale
	for i := vectorPieces; i < size; i++ {
		vector[i] = float32(i)
	}
	return vector
}

func stampToken(ns int64) string {
	digits := strconv.FormatInt(ns, 10)
	return "w" + "000000000000000000"[len(digits):] + digits + " "
}

// recordFile gives the number of a fresh descriptor, and a reader of what was written to it.
func recordFile(t *testing.T) (fd string, read func() []map[string]any) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "records")
	number, err := syscall.Open(path, syscall.O_CREAT|syscall.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(number), func() []map[string]any {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		var records []map[string]any
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, maxLine+1)
		for lines.Scan() {
			var record map[string]any
			if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
				t.Fatalf("%v in %.80q", err, lines.Text())
			}
			records = append(records, record)
		}
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
		return records
	}
}

func ofKind(records []map[string]any, kind string) []map[string]any {
	var found []map[string]any
	for _, record := range records {
		if record["k"] == kind {
			found = append(found, record)
		}
	}
	return found
}

func rowsOf(records []map[string]any) [][]any {
	var rows [][]any
	for _, record := range ofKind(records, "req") {
		for _, one := range record["rows"].([]any) {
			rows = append(rows, one.([]any))
		}
	}
	return rows
}
