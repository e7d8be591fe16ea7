package main

import (
	"bytes"
	"flag"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/testbrowser"
)

var screenshot = flag.String("screenshot", "", "write a picture of the page to this file")

// driver is a page that uses the playground in a frame, as a person would: it types, presses
// keys and buttons, and writes down what it sees.
const driver = `<!doctype html><iframe width="1200" height="900"></iframe><pre id="seen"></pre>
<script>
const frame = document.querySelector('iframe');
const at = id => frame.contentDocument.getElementById(id);
const saw = what => { document.querySelector('#seen').textContent += what + '\n'; };
const until = async (what, condition) => {
	for (let i = 0; i < 500 && !condition(); i++) await new Promise(done => setTimeout(done, 20));
	if (!condition()) throw 'waited for ' + what;
};
const answered = async act => {
	act();
	await until('an answer', () => at('results').getAttribute('aria-busy') == 'false');
};
const example = name => answered(() => [...at('examples').children].find(b => b.textContent == name).click());
const visible = id => !at(id).hidden;
const text = id => at(id).textContent.trim();
const enter = () => at('query').dispatchEvent(new frame.contentWindow.KeyboardEvent('keydown', {key: 'Enter', ctrlKey: true, bubbles: true, cancelable: true}));
(async () => {
	await new Promise(done => { frame.onload = done; frame.src = '/'; });
	await until('the first answer', () => at('results').getAttribute('aria-busy') == 'false');
	saw('rows: ' + [...at('rows').querySelectorAll('tbody tr')].map(r => [...r.children].map(c => c.textContent).join(' ')).join('; '));
	saw('marked: ' + [...at('sql').querySelectorAll('mark')].map(m => m.textContent).join(' '));

	await answered(() => {
		at('query').value = 'SELECT %s || %s';
		at('args').value = '["<b>", "&"]';
		enter();
	});
	saw('typed: ' + text('sql') + ' gives ' + at('rows').querySelector('td').textContent);

	at('args').value = '[1';
	await answered(enter);
	saw('wrong arguments: ' + visible('error') + ', rows: ' + visible('answer'));

	await example('Quoted placeholder');
	saw('mistake: ' + text('error').includes('drop the quotes') + ', ' + text('hint'));
	await example('Misspelt column');
	saw('caret: ' + at('error').querySelector('pre').textContent.split('\n').some(line => line.trim() == '^'));
	await example('INSERT');
	saw('inserted: ' + text('messages').includes('BEGIN') + ' ' + at('rows').querySelectorAll('tbody tr').length);
	await example('INSERT');
	saw('again: ' + at('rows').querySelectorAll('tbody tr').length);
	for (const name of [...at('examples').children].map(b => b.textContent)) {
		await example(name);
		if (visible('error') != ['Quoted placeholder', 'Misspelt column', 'Forgotten name', 'Duplicate'].includes(name)) saw(name + ': ' + text('error'));
	}
	for (let i = 0; i < 3; i++) await example('One value');
	saw('third time: ' + text('hint'));
	const focusable = [...frame.contentDocument.querySelectorAll('button, textarea, input, [tabindex]')].filter(e => e.offsetParent);
	saw('unreachable by keyboard: ' + focusable.filter(e => e.tabIndex < 0).length);
	saw('without a name: ' + focusable.filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).length);
	saw('wider than the window: ' + (frame.contentDocument.documentElement.scrollWidth > frame.clientWidth));
	frame.width = 380;
	await new Promise(done => setTimeout(done, 50));
	saw('on a phone: ' + (frame.contentDocument.documentElement.scrollWidth > frame.clientWidth));
	saw('the end');
})().catch(e => saw(e));
</script>`

const seen = `rows: ACME Corp. company 2087.92; Globex team 1756.93
marked: $1 $2
typed: SELECT $1 || $2 gives <b>&
wrong arguments: true, rows: false
mistake: true, Nothing was sent: psyco has found the mistake.
caret: true
inserted: true 1
again: 1
third time: The server knows the statement from before: no Parse.
unreachable by keyboard: 0
without a name: 0
wider than the window: false
on a phone: false
the end
`

func TestBrowser(t *testing.T) {
	p := testPlayground(t)
	mux := http.NewServeMux()
	mux.Handle("/", p.handler())
	mux.HandleFunc("GET /driver", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if _, err := w.Write([]byte(driver)); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	dom := testbrowser.Chromium(t, "--virtual-time-budget=60000", "--dump-dom", server.URL+"/driver")
	_, got, _ := strings.Cut(dom, `<pre id="seen">`)
	got, _, _ = strings.Cut(got, "</pre>")
	if got = html.UnescapeString(got); got != seen {
		t.Errorf("the browser saw:\n%s\nwant:\n%s", got, seen)
	}
}

// The page is painted in the colours that the reader's system wants.
func TestColours(t *testing.T) {
	server := httptest.NewServer(testPlayground(t).handler())
	defer server.Close()
	pictures := map[string][]byte{}
	for scheme, number := range map[string]string{"light": "1", "dark": "0"} {
		path := filepath.Join(t.TempDir(), scheme+".png")
		testbrowser.Chromium(t, "--screenshot="+path, "--window-size=1280,990", "--virtual-time-budget=10000",
			"--blink-settings=preferredColorScheme="+number, server.URL)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pictures[scheme] = data
	}
	if bytes.Equal(pictures["light"], pictures["dark"]) {
		t.Error("light and dark look the same")
	}
	if *screenshot != "" {
		if err := os.WriteFile(*screenshot, pictures["light"], 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
