// models writes the synthetic models: real files for real engines, with random weights and meaningless text.
//
//	models -o DIR [NAME ...]     all of them when none is named
//
// The bytes depend on this source alone: no clock, no machine, no library but Go's own. Floating point is used only
// where IEEE 754 leaves one answer (conversion, one multiplication, division, square root).
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// files maps each file below the output folder to its writer.
type files map[string]func(io.Writer) error

// catalogue holds every model by name; images/models/models.yaml pins the digest of each file.
func catalogue() map[string]files {
	return map[string]files{
		"chat.gguf":   {"chat.gguf": chatModel().write},
		"embed.gguf":  {"embed.gguf": embedModel().write},
		"vision.gguf": {"vision.gguf": projectorFor(chatModel()).write},
		"encoder":     encoderModel().files("encoder"),
	}
}

func main() {
	folder := flag.String("o", "", "the folder to write to")
	flag.Parse()
	if *folder == "" {
		fmt.Fprintln(os.Stderr, "models: -o DIR is missing")
		os.Exit(exitUsage)
	}
	known := catalogue()
	names := flag.Args()
	if len(names) == 0 {
		for name := range known {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		if _, ok := known[name]; !ok {
			fmt.Fprintf(os.Stderr, "models: no model %q\n", name)
			os.Exit(exitUsage)
		}
	}
	for _, name := range names {
		if err := known[name].writeBelow(*folder); err != nil {
			fmt.Fprintf(os.Stderr, "models: %s: %v\n", name, err)
			os.Exit(exitFailed)
		}
	}
}

func (f files) writeBelow(folder string) error {
	for path, write := range f {
		place := filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return err
		}
		if err := writeFile(place, write); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(place string, write func(io.Writer) error) error {
	file, err := os.Create(place)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}
