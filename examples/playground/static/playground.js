'use strict';

const examples = [
	['Names and a list', `SELECT c.name, c.plan, sum(o.total) AS total
  FROM clients AS c
  JOIN orders AS o ON o.client = c.id
 WHERE c.name IN %(names)s AND o.total > %(least)s
 GROUP BY c.id
 ORDER BY total DESC`, '{"names": ["ACME Corp.", "Globex"], "least": 100}'],
	['One value', 'SELECT name, email, since FROM clients WHERE id = %s', '[1]'],
	['$1, as before', 'SELECT name, email FROM clients WHERE id = $1', '[1]'],
	['Rows in a list', 'SELECT id, total, at\n  FROM orders\n WHERE (client, id) IN %s', '[[[1, 4], [2, 1], [3, 2]]]'],
	['An array', 'SELECT name, tags FROM clients WHERE tags && %s', '[["retail", "energy"]]'],
	['json', 'SELECT id, details FROM orders WHERE details @> %s LIMIT 5', '[{"gift": true}]'],
	['LIKE', "SELECT name FROM clients WHERE name LIKE 'A%%' AND id < %s", '[100]'],
	['INSERT', 'INSERT INTO clients (name, email)\nVALUES (%(name)s, %(email)s)\nRETURNING id, plan, since', '{"name": "Umbrella", "email": "post@umbrella.example"}', true],
	['Quoted placeholder', "SELECT id, email\n  FROM clients\n WHERE name = '%s'", '["Globex"]'],
	['Misspelt column', 'SELECT name, emial\n  FROM clients\n WHERE id IN %s', '[[1, 2]]'],
	['Forgotten name', 'SELECT id FROM clients WHERE name = %(nmae)s', '{"name": "Globex"}'],
	['Duplicate', 'INSERT INTO clients (name, email) VALUES (%s, %s)', '["Hooli", "info@acme.co"]', true],
];

const at = id => document.getElementById(id);

// make returns an element with a class, and with texts or elements in it.
function make(name, className, ...children) {
	const e = document.createElement(name);
	if (className) e.className = className;
	e.append(...children);
	return e;
}

function show(id, visible) {
	at(id).hidden = !visible;
}

for (const [name, query, args, transaction] of examples) {
	const button = make('button', '', name);
	button.type = 'button';
	button.addEventListener('click', () => {
		at('query').value = query;
		at('args').value = args;
		at('transaction').checked = Boolean(transaction);
		run();
	});
	at('examples').append(button);
}

at('form').addEventListener('submit', event => {
	event.preventDefault();
	run();
});
at('form').addEventListener('keydown', event => {
	if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
		event.preventDefault();
		run();
	}
});

let asked = 0; // the answer to an earlier question is not shown

async function run() {
	const number = ++asked;
	const query = at('query').value;
	let args = null;
	for (const button of at('examples').children) {
		const [, text, values] = examples.find(([name]) => name === button.textContent);
		button.setAttribute('aria-pressed', text === query && values === at('args').value);
	}
	at('results').setAttribute('aria-busy', 'true');
	let result;
	try {
		const text = at('args').value.trim();
		if (text) args = JSON.parse(text);
	} catch (error) {
		result = {error: 'The arguments are not JSON: ' + error.message};
	}
	if (!result) {
		try {
			const response = await fetch('/run', {
				method: 'POST',
				headers: {'Content-Type': 'application/json'},
				// As they were typed: JavaScript would round long numbers.
				body: `{"query": ${JSON.stringify(query)}, "args": ${args === null ? 'null' : at('args').value}, "transaction": ${at('transaction').checked}}`,
			});
			result = response.ok ? await response.json() : {error: await response.text()};
		} catch (error) {
			result = {error: 'The playground does not answer: ' + error.message};
		}
	}
	if (number !== asked) return;
	showError(result);
	showRows(result);
	showSent(result);
	showWire(result);
	at('results').setAttribute('aria-busy', 'false');
}

function showError(result) {
	show('error', result.error);
	at('error').querySelector('pre').textContent = result.error;
}

function showRows(result) {
	show('answer', !result.error && result.columns);
	if (!result.columns) return;
	const rows = result.rows || [];
	at('count').textContent = result.more ? `the first ${rows.length}` : rows.length;
	const head = make('tr');
	for (const c of result.columns) {
		head.append(make('th', '', c.name, make('small', '', [c.type, c.go].filter(Boolean).join(' → '))));
	}
	const body = make('tbody');
	for (const row of rows) {
		const line = make('tr');
		for (const value of row) line.append(value === null ? make('td', 'null', 'NULL') : make('td', '', value));
		body.append(line);
	}
	at('rows').replaceChildren(make('thead', '', head), body);
}

// marked shows the parameters in a text.
function marked(text) {
	return text.split(/(\$\d+)/).map((part, i) => i % 2 ? make('mark', '', part) : part);
}

function showSent(result) {
	show('sent', result.sql);
	at('sql').replaceChildren(...marked(result.sql || ''));
	const lines = (result.parameters || []).map((p, i) => make('tr', '',
		make('td', '', ...marked('$' + (i + 1))),
		make('td', p.null ? 'null' : '', p.null ? 'NULL' : p.text),
		make('td', '', p.type || p.declared),
		make('td', 'muted', p.declared ? 'declared by psyco' : p.type && 'found by the server')));
	const head = make('tr');
	for (const name of ['', 'value', 'type', '']) head.append(make('th', '', name));
	at('parameters').replaceChildren(...lines.length ? [make('thead', '', head), make('tbody', '', ...lines)] : []);
}

function showWire(result) {
	const steps = result.steps || [], messages = result.messages || [];
	show('wire', steps.length);
	const last = steps[steps.length - 1];
	if (!last) return;
	const trips = steps.reduce((sum, s) => sum + s.roundTrips, 0);
	const figures = [
		[trips === 1 ? 'round trip' : 'round trips', trips],
		['prepared before', last.cacheHit ? 'yes' : 'no'],
		['bytes', result.bytes.toLocaleString('en')],
		['milliseconds', last.ms.toFixed(1)],
	];
	if (result.tag) figures.push(['done', result.tag]);
	at('figures').replaceChildren(...figures.map(([what, value]) => make('div', '', make('dt', '', what), make('dd', '', value))));

	const list = [];
	let trip = 0;
	for (const m of messages) {
		if (m.trip !== trip) {
			trip = m.trip;
			list.push(make('li', 'trip', `Round trip ${trip}`));
		}
		const what = make('span', 'what', m.text);
		what.title = m.text;
		list.push(make('li', m.out ? 'out' : 'in',
			make('span', 'arrow', m.out ? '→' : '←'),
			make('span', '', m.count > 1 ? `${m.name} × ${m.count}` : m.name),
			what, make('span', 'bytes', m.bytes.toLocaleString('en'))));
	}
	if (result.hidden) list.push(make('li', 'trip', `and ${result.hidden.toLocaleString('en')} messages more`));
	at('messages').replaceChildren(...list);
	if (!messages.length) {
		at('hint').textContent = 'Nothing was sent: psyco has found the mistake.';
	} else if (result.error.includes('^')) {
		at('hint').textContent = 'The position in the error is one in your text, not in what the server got.';
	} else if (result.error) {
		at('hint').textContent = 'The server has refused it.';
	} else if (!(result.parameters || []).length) {
		at('hint').textContent = 'A text without parameters is a simple query.';
	} else if (last.cacheHit) {
		at('hint').textContent = 'The server knows the statement from before: no Parse.';
	} else if (trips > 1) {
		at('hint').textContent = 'The server was asked for the types first, this once. Run it again.';
	} else {
		at('hint').textContent = 'In its second run the server keeps the statement, and the third needs no Parse: run it again.';
	}
}

[, at('query').value, at('args').value] = examples[0];
run();
