package main

import (
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/psyco-go/psyco/internal/testbrowser"
)

var screenshot = flag.String("screenshot", "", "write a picture of a report on a million sales to this file")

// A browser paints the report with its charts, in light and in dark.
func TestBrowser(t *testing.T) {
	rows := int64(testRows)
	if *screenshot != "" {
		rows = 1_000_000
	}
	r := testReport(t, open(t), rows)
	for _, c := range []struct {
		name    string
		scheme  string // Chromium's number for it
		l       look
		picture string
	}{
		{"dark", "0", dark, filepath.Join(t.TempDir(), "dark.png")},
		{"light", "1", light, filepath.Join(t.TempDir(), "light.png")},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbrowser.Chromium(t, "--screenshot="+c.picture, "--window-size=1100,2120",
				"--blink-settings=preferredColorScheme="+c.scheme, "file://"+r.path(pageFile))
			picture := decode(t, c.picture)
			for what, colour := range map[string]string{"this year": c.l.year, "the year before": c.l.before} {
				// The bars of twelve months take some tens of thousands.
				if n := pixels(picture, colour); n < 10_000 {
					t.Errorf("the picture has %d pixels in the colour of %s", n, what)
				}
			}
			if *screenshot == "" || c.name != "light" {
				return
			}
			data, err := os.ReadFile(c.picture)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(*screenshot, data, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func decode(t *testing.T, name string) image.Image {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// pixels counts those of a colour, such as #4f5bd5.
func pixels(picture image.Image, colour string) (n int) {
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			if c := color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA); colour == hex(c) {
				n++
			}
		}
	}
	return n
}

func hex(c color.NRGBA) string {
	const digits = "0123456789abcdef"
	b := []byte{'#'}
	for _, v := range []byte{c.R, c.G, c.B} {
		b = append(b, digits[v>>4], digits[v&15])
	}
	return string(b)
}
