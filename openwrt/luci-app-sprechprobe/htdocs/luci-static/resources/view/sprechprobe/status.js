'use strict';
'require fs';
'require poll';
'require ui';
'require view';

/* E() takes a text alone for HTML, and one in a list for text: what comes from
 * the program goes into lists.
 *
 * What the letters of a lamp's rhythm look like. Each stands for a quarter of a
 * second. */
const colours = { 'G': '#2a9d2a', 'Y': '#e0a800', 'R': '#d22', 'B': '#26c', 'W': '#ccc', '-': '#333' };
const beat = 250;

const lamps = [
	[ 'box', _('Box') ],
	[ 'network', _('Network') ],
	[ 'video', _('Video') ]
];

/* The texts about the network come from the program itself, in its languages. */
function language() {
	return /^de/.test(document.documentElement.lang) ? 'de' : 'en';
}

return view.extend({
	load() {
		return Promise.all([
			L.resolveDefault(fs.exec('/usr/bin/sprechprobe', [ 'status', '--format', 'json', '--lang', language() ]), {}),
			L.resolveDefault(fs.read('/var/run/sprechprobe/settings-wrong'), '')
		]).then(([ result, wrong ]) => {
			let status = null;
			try {
				status = JSON.parse(result.stdout);
			} catch (e) { /* told below */ }
			return { status, wrong, trouble: result.stderr };
		});
	},

	blink() {
		const n = Math.floor(Date.now() / beat);
		for (const lamp of document.querySelectorAll('[data-rhythm]')) {
			const rhythm = lamp.getAttribute('data-rhythm');
			lamp.style.backgroundColor = colours[rhythm.charAt(n % rhythm.length)] || colours['-'];
		}
	},

	renderLamp([ role, name ], status) {
		return E('div', { 'style': 'display:inline-block; text-align:center; margin-right:2em' }, [
			E('span', {
				'data-rhythm': status.lamps[role] || '-',
				'role': 'img',
				'aria-label': name,
				'style': 'display:inline-block; width:2em; height:2em; border-radius:1em; border:1px solid #888'
			}),
			E('div', {}, name)
		]);
	},

	renderChange(change) {
		return E('li', {}, [
			E('strong', {}, [ change.title ]),
			E('p', {}, [ change.staff ]),
			E('details', {}, [ E('summary', {}, _('For the IT of the practice')), E('p', {}, [ change.it ]) ])
		]);
	},

	renderAge(status) {
		if (!status.at)
			return _('The box has not looked yet.');
		return _('The box looked %d seconds ago.').format(status.age_s);
	},

	renderStatus({ status, wrong, trouble }) {
		const parts = [];
		if (wrong)
			parts.push(E('div', { 'class': 'alert-message warning' }, [
				E('p', {}, _('The settings are wrong, and the box goes on with those before:')),
				E('pre', {}, [ wrong ])
			]));
		if (!status) {
			parts.push(E('div', { 'class': 'alert-message error' }, [
				E('p', {}, _('The program does not answer.')),
				E('pre', {}, [ trouble || '' ])
			]));
			return parts;
		}
		parts.push(E('p', { 'style': 'font-size:larger', 'id': 'sentence' }, [ status.sentence ]));
		parts.push(E('div', { 'style': 'margin:1em 0' }, lamps.map((lamp) => this.renderLamp(lamp, status))));
		if (status.means !== status.sentence)
			parts.push(E('p', {}, [ _('What the lights say:') + ' ' + status.means ]));
		if (status.changes.length)
			parts.push(E('h3', {}, _('What is to be changed')),
				E('ol', {}, status.changes.map((change) => this.renderChange(change))));
		if (status.code)
			parts.push(E('p', {}, [ _('The code by which the vendor claims this box:') + ' ', E('strong', {}, [ status.code ]) ]));
		if (status.tenant)
			parts.push(E('p', {}, [ _('This box belongs to:') + ' ', E('strong', {}, [ status.tenant ]) ]));
		parts.push(E('p', {}, [ this.renderAge(status) ]));
		return parts;
	},

	ask(action) {
		return fs.exec('/etc/init.d/sprechprobe', [ action ]).then((result) => {
			if (result.code)
				ui.addNotification(null, E('p', {}, _('The box does not run.')), 'warning');
		});
	},

	render(data) {
		const body = E('div', { 'id': 'sprechprobe' }, this.renderStatus(data));
		this.timer = window.setInterval(() => this.blink(), beat);
		poll.add(() => this.load().then((next) => {
			body.replaceChildren(...this.renderStatus(next));
			this.blink();
		}), 5);
		return E('div', {}, [
			E('h2', {}, _('Sprechprobe')),
			body,
			E('div', { 'class': 'cbi-page-actions' }, [
				E('button', { 'class': 'cbi-button cbi-button-action', 'click': ui.createHandlerFn(this, 'ask', 'check') }, _('Look now')),
				' ',
				E('button', { 'class': 'cbi-button', 'click': ui.createHandlerFn(this, 'ask', 'identify') }, _('Show which box this is'))
			])
		]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
