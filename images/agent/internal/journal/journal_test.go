package journal

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"sealbench.org/agent/internal/pb"
)

func write(t *testing.T, count int) (string, []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal.pb")
	writer, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= count; i++ {
		payload, _ := proto.Marshal(&pb.Record{Sequence: uint64(i), Kind: &pb.Record_Phase{Phase: &pb.Phase{Name: "warmup"}}})
		writer.Append(payload)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	_, data := write(t, 3)
	records, left, err := Read(data)
	if err != nil || left != 0 || len(records) != 3 || records[2].Sequence != 3 {
		t.Errorf("%d records, %d left, %v", len(records), left, err)
	}
}

func TestATailCutAnywhereLosesOnlyItsOwnFrame(t *testing.T) {
	_, data := write(t, 3)
	frame := (len(data) - len(Magic)) / 3
	for cut := len(Magic); cut < len(data); cut++ {
		records, left, err := Read(data[:cut])
		whole := (cut - len(Magic)) / frame
		if err != nil || len(records) != whole || left != cut-len(Magic)-whole*frame {
			t.Fatalf("cut at %d: %d records, %d left, %v", cut, len(records), left, err)
		}
	}
}

func TestReadingStopsAtAFlippedByte(t *testing.T) {
	_, data := write(t, 3)
	frame := (len(data) - len(Magic)) / 3
	for offset := len(Magic) + frame; offset < len(Magic)+2*frame; offset++ {
		bad := append([]byte(nil), data...)
		bad[offset] ^= 0x10
		records, left, err := Read(bad)
		if err != nil || len(records) != 1 || left != 2*frame {
			t.Fatalf("byte %d: %d records, %d left, %v", offset, len(records), left, err)
		}
	}
}

func TestAHugeLengthIsNotBelieved(t *testing.T) {
	data := binary.LittleEndian.AppendUint32([]byte(Magic), 0xffffffff)
	records, left, err := Read(append(data, make([]byte, 100)...))
	if err != nil || len(records) != 0 || left != 104 {
		t.Errorf("%d records, %d left, %v", len(records), left, err)
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	if _, _, err := Read([]byte("PK")); !errors.Is(err, ErrNotJournal) {
		t.Errorf("got %v", err)
	}
	path, _ := write(t, 1)
	if _, err := Create(path); err == nil {
		t.Error("a second attempt wrote into the first one's journal")
	}
}
