package main

import (
	"flag"
	"html"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/testbrowser"
)

var screenshot = flag.String("screenshot", "", "write a picture of the list to this file")

// driver is a page that uses the application in a frame, as a person would:
// it fills forms in and clicks, and writes down what it sees.
const driver = `<!doctype html><iframe width="900" height="900"></iframe><pre id="seen"></pre>
<script>
const frame = document.querySelector('iframe');
const loaded = act => new Promise(done => { frame.onload = done; act(); });
const field = name => frame.contentDocument.querySelector('[name=' + name + ']');
const click = text => loaded(() => [...frame.contentDocument.querySelectorAll('a, button')].find(e => e.textContent.trim() == text).click());
const saw = what => { document.querySelector('#seen').textContent += what + '\n'; };
const text = selector => frame.contentDocument.querySelector(selector)?.textContent.trim();
(async () => {
	await loaded(() => frame.src = '/');
	saw('button: ' + frame.contentWindow.getComputedStyle(frame.contentDocument.querySelector('.primary')).backgroundColor);
	await click('New client');
	field('name').value = 'Hooli';
	field('email').value = 'info@acme.co';
	await click('Save');
	saw('error: ' + text('.error'));
	field('email').value = 'hi@hooli.example';
	await click('Save');
	saw('notice: ' + text('.notice') + ' ' + text('h1'));
	await click('Back');
	field('q').value = 'hooli';
	await click('Search');
	saw('found: ' + text('tbody td:nth-child(2)'));
	await click('HHooli');
	await click('Delete');
	saw('notice: ' + text('.notice'));
	saw('the end');
})().catch(e => saw(e));
</script>`

const seen = `button: rgb(79, 91, 213)
error: E-mail is already taken
notice: Saved. Hooli
found: hi@hooli.example
notice: The client was deleted.
the end
`

func TestBrowser(t *testing.T) {
	a, _ := testApp(t)
	mux := http.NewServeMux()
	mux.Handle("/", a.handler())
	mux.HandleFunc("GET /driver", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if _, err := w.Write([]byte(driver)); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	if *screenshot != "" {
		path, err := filepath.Abs(*screenshot)
		if err != nil {
			t.Fatal(err)
		}
		testbrowser.Chromium(t, "--screenshot="+path, "--window-size=1100,1010", server.URL)
	}
	dom := testbrowser.Chromium(t, "--virtual-time-budget=30000", "--dump-dom", server.URL+"/driver")
	_, got, _ := strings.Cut(dom, `<pre id="seen">`)
	got, _, _ = strings.Cut(got, "</pre>")
	if got = html.UnescapeString(got); got != seen {
		t.Errorf("the browser saw:\n%s\nwant:\n%s\nin:\n%s", got, seen, dom)
	}
}
