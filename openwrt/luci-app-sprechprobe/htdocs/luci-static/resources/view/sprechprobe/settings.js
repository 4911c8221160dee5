'use strict';
'require form';
'require fs';
'require tools.widgets as widgets';
'require view';

/* What a value may look like is up to the program; these catch slips at once. */
function like(pattern, example) {
	return (section, value) => !value || pattern.test(value) || _('Not like %s').format(example);
}

const aName = like(/^[a-z0-9][a-z0-9-]{0,62}$/, 'praxis-nord-1');
const aTime = like(/^([0-9]+(h|m|s))+$/, '90s, 5m');
const aPath = like(/^\//, '/etc/sprechprobe/…');
const aPathOrNone = like(/^(\/.*|none)$/, '/etc/sprechprobe/…, none');
const aServer = like(/^(tls|wss|nats|ws):\/\/[^/@]+$/, 'tls://fleet.example:4222');
const aPort = like(/^(\/dev\/.+|usb:[0-9a-fA-F]{4}:[0-9a-fA-F]{4})$/, '/dev/ttyUSB0, usb:0403:6001');
const aListener = like(/^[0-9a-fA-F.:[\]]+:[0-9]+$/, '0.0.0.0:8080');

const bauds = [ '1200', '2400', '4800', '9600', '19200', '38400', '57600', '115200', '230400', '460800', '921600' ];
const buttons = [ 'wps', 'reset', 'rfkill', 'power', 'BTN_0', 'BTN_1', 'BTN_2', 'BTN_3', 'BTN_4', 'BTN_5', 'BTN_6', 'BTN_7', 'BTN_8', 'BTN_9' ];

/* text is an option with an example in the empty field. */
function text(section, name, title, help, example, check) {
	const o = section.option(form.Value, name, title, help);
	o.placeholder = example;
	o.optional = true;
	if (check)
		o.validate = check;
	return o;
}

function texts(section, name, title, help, example, check) {
	const o = section.option(form.DynamicList, name, title, help);
	o.placeholder = example;
	o.optional = true;
	if (check)
		o.validate = check;
	return o;
}

function choice(section, name, title, help, choices) {
	const o = section.option(form.ListValue, name, title, help);
	o.optional = true;
	for (const [ value, label ] of choices)
		o.value(value, label);
	return o;
}

function serial(section) {
	text(section, 'port', _('Port'), _('A device, or the ids of vendor and product on USB.'), 'usb:0403:6001', aPort);
	choice(section, 'baud', _('Speed'), null, bauds.map((b) => [ b, b ]));
}

return view.extend({
	load() {
		return L.resolveDefault(fs.list('/sys/class/leds'), []);
	},

	render(leds) {
		const m = new form.Map('sprechprobe', _('Sprechprobe'),
			_('The box looks all day whether video consultations will work from this network. What is left empty has its default.'));
		m.tabbed = true;
		let s, o;

		s = m.section(form.NamedSection, 'main', 'sprechprobe', _('General'));
		o = s.option(form.Flag, 'enabled', _('Enabled'));
		o.rmempty = false;
		o.default = '1';
		o = texts(s, 'profiles', _('Video services'), _('What to look for: built-in profiles, or those of your own.'), 'webprax', aName);
		o.value('webprax', 'webprax');
		o.value('zpp-hd', 'zpp-hd');
		o = s.option(form.MultiValue, 'without', _('Not used here'), _('What this practice does not use turns no light red.'));
		o.optional = true;
		o.value('direct', _('One to one, directly'));
		o.value('relay', _('One to one, through the relay'));
		o.value('group', _('Group consultations'));
		o.value('hd', _('High definition'));
		choice(s, 'language', _('Language'), _('Of the texts on the box and its page.'), [ [ 'de', 'Deutsch' ], [ 'en', 'English' ] ]);
		text(s, 'profile_dir', _('Own profiles'), _('A directory of further profiles, *.toml.'), '/etc/sprechprobe/profiles.d', aPathOrNone);
		text(s, 'state_dir', _('What the box keeps'), _('A directory on flash: the key of the box, its grant, its assigned settings.'), '/etc/sprechprobe/state', aPath);

		s = m.section(form.NamedSection, 'box', 'box', _('Box'));
		text(s, 'id', _('Name in reports'), _('a to z, 0 to 9 and -'), 'praxis-nord-1', aName);
		text(s, 'name', _('What people call it'), null, 'Praxis Nord, Empfang');
		text(s, 'tenant', _('Tenant'), _('Left empty, the box has a key of its own and is claimed by its vendor.'), 'acme', aName);

		s = m.section(form.NamedSection, 'network', 'network', _('Network'));
		o = s.option(widgets.DeviceSelect, 'interface', _('Device'), _('Left empty: that of the default route.'));
		o.optional = true;
		texts(s, 'resolvers', _('Name servers'), _('Left empty: those of the system.'), '192.168.1.1');

		s = m.section(form.NamedSection, 'schedule', 'schedule', _('Schedule'));
		text(s, 'every', _('Time between two rounds'), _('From 10s to 24h.'), '5m', aTime);

		s = m.section(form.NamedSection, 'relay', 'relay', _('Relay'),
			_('Credentials for the relays (TURN) of the video services.'));
		text(s, 'username', _('User'), null, 'sprechprobe');
		text(s, 'password_file', _('File of the password'), null, '/etc/sprechprobe/relay.password', aPath);
		o = s.option(form.Flag, 'rehearse', _('Rehearse a call'), _('Once a day, through the relay: half a minute, up to 3 MB each way.'));
		o.rmempty = false;
		o.default = '1';

		s = m.section(form.NamedSection, 'bandwidth', 'bandwidth', _('Measurements'),
			_('How much the line carries. Without a server nothing is measured.'));
		text(s, 'server', _('Server'), null, 'reflect.fleet.example:5201');
		text(s, 'user', _('User'), null, 'praxis-nord');
		text(s, 'password_file', _('File of the password'), null, '/etc/sprechprobe/bandwidth.password', aPath);
		text(s, 'key_file', _('File of the key'), _('The public key of the server, PEM.'), '/etc/sprechprobe/bandwidth.pem', aPath);
		text(s, 'every', _('Time between two measurements'), _('From 1h to 168h.'), '6h', aTime);
		texts(s, 'closed', _('Hours of the practice'), _('Nothing is measured in them by itself.'), 'mon-fri 07:00-20:00');
		text(s, 'window', _('Only within'), _('Left empty: at any other time.'), 'sat,sun 02:00-06:00');
		text(s, 'zone', _('Time zone'), _('As POSIX writes it.'), 'CET-1CEST,M3.5.0,M10.5.0/3');
		text(s, 'max_bytes_per_day', _('Bytes a day'), _('0: no limit.'), '50000000');
		text(s, 'max_bytes_per_month', _('Bytes a month'), _('0: no limit.'), '1000000000');
		o = s.option(form.Flag, 'full_capacity', _('Find out the most'), _('This fills the line for seconds.'));
		o.optional = true;

		s = m.section(form.NamedSection, 'central', 'central', _('Vendor'),
			_('Where the box reports to. Without servers it reports to nobody.'));
		texts(s, 'servers', _('Servers'), null, 'tls://fleet.example:4222', aServer);
		texts(s, 'vendor_keys', _('Keys of the vendor'), _('What comes from the vendor counts only with one of their signatures.'));
		text(s, 'credentials', _('Credentials file'), _('Left empty: the key of the box.'), '/etc/sprechprobe/box.creds', aPath);
		text(s, 'nkey_seed', _('Seed file'), _('In place of a credentials file.'), '/etc/sprechprobe/box.nk', aPath);
		text(s, 'ca', _('Certificates to trust'), _('Left empty: those of the system.'), '/etc/sprechprobe/ca.pem', aPath);
		texts(s, 'grants', _('Files of grants'), _('Where a grant may be put by hand.'), '/etc/sprechprobe/grant.pem', aPath);
		o = s.option(form.Flag, 'allow_private', _('Private addresses'), _('Settings of the vendor may let the box ask private addresses.'));
		o.optional = true;
		text(s, 'beacon_zone', _('Domain for calls for help'), _('When nothing but name look-ups gets out, the box looks up a name below it.'), 'help.fleet.example');

		s = m.section(form.NamedSection, 'spool', 'spool', _('Waiting reports'));
		text(s, 'dir', _('Directory'), _('"none": in memory only.'), '/etc/sprechprobe/state/spool', aPathOrNone);
		o = text(s, 'max_bytes', _('At most, bytes'), _('The oldest make room.'), '524288');
		o.datatype = 'range(262144,1073741824)';

		s = m.section(form.NamedSection, 'lights', 'lights', _('Lights'));
		choice(s, 'driver', _('Driven by'), null, [
			[ 'auto', _('what the board is known to have') ],
			[ 'none', _('nothing: no lights') ],
			[ 'sysfs', _('the LEDs below') ],
			[ 'gpio', _('the GPIO lines below') ]
		]);

		s = m.section(form.GridSection, 'lamp', _('Lamps'),
			_('Left empty: those that the board is known to have. A lamp is one LED or GPIO line, or has several colours.'));
		s.addremove = true;
		s.anonymous = true;
		choice(s, 'role', _('Tells about'), null, [
			[ 'all', _('everything') ], [ 'box', _('the box') ], [ 'network', _('the network') ], [ 'video', _('video') ]
		]);
		for (const [ name, title ] of [ [ 'led', _('LED') ], [ 'red', _('Red') ], [ 'green', _('Green') ], [ 'blue', _('Blue') ] ]) {
			o = text(s, name, title, null, 'green:status');
			for (const led of leds)
				o.value(led.name, led.name);
		}
		text(s, 'gpio', _('GPIO line'), null, 'GPIO17');
		o = s.option(form.Flag, 'active_low', _('Lit while low'));
		o.optional = true;

		s = m.section(form.NamedSection, 'button', 'button', _('Button'),
			_('Press it shortly to look, for 5 seconds to show the box, for 15 seconds to separate it from its practice.'));
		choice(s, 'event', _('Button'), null, [ [ 'auto', _('that of the board') ], [ 'none', _('no button') ] ].concat(buttons.map((b) => [ b, b ])));
		text(s, 'gpio', _('GPIO line'), null, 'GPIO3');
		o = s.option(form.Flag, 'active_low', _('Low while pressed'));
		o.optional = true;

		s = m.section(form.NamedSection, 'panel', 'panel', _('Serial panel'));
		serial(s);
		s = m.section(form.NamedSection, 'console', 'console', _('Service console'));
		serial(s);

		s = m.section(form.NamedSection, 'page', 'page', _('Page'),
			_('The page that the box shows on its own network. Nobody can change anything there.'));
		choice(s, 'show', _('Shown'), null, [
			[ 'never', _('never') ], [ 'unclaimed', _('until the box has a tenant') ], [ 'always', _('always') ]
		]);
		text(s, 'listen', _('Address and port'), _('Port 80 belongs to this router itself.'), '0.0.0.0:8080', aListener);
		text(s, 'name', _('Name on the network'), _('"sprechprobe" is found at http://sprechprobe.local; "none" gives it none.'), 'sprechprobe', aName);

		return m.render();
	}
});
