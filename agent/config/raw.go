package config

// rawConfig is the file as it stands. Pointers are entries whose default is not
// their zero value.
type rawConfig struct {
	Profiles   []string     `toml:"profiles"`
	ProfileDir *string      `toml:"profile_dir"`
	StateDir   *string      `toml:"state_dir"`
	Without    []string     `toml:"without"`
	Language   *string      `toml:"language"`
	Box        rawBox       `toml:"box"`
	Network    rawNetwork   `toml:"network"`
	Schedule   rawSchedule  `toml:"schedule"`
	Relay      rawRelay     `toml:"relay"`
	Central    rawCentral   `toml:"central"`
	Spool      rawSpool     `toml:"spool"`
	Lights     rawLights    `toml:"lights"`
	Button     rawButton    `toml:"button"`
	Panel      rawPort      `toml:"panel"`
	Console    rawPort      `toml:"console"`
	Page       rawPage      `toml:"page"`
	Bandwidth  rawBandwidth `toml:"bandwidth"`
}

type rawBox struct {
	ID     string `toml:"id"`
	Name   string `toml:"name"`
	Tenant string `toml:"tenant"`
}

type rawNetwork struct {
	Interface string   `toml:"interface"`
	Resolvers []string `toml:"resolvers"`
	Address   string   `toml:"address"`
	Gateway   string   `toml:"gateway"`
}

type rawSchedule struct {
	Every *string `toml:"every"`
}

type rawRelay struct {
	Username     string `toml:"username"`
	PasswordFile string `toml:"password_file"`
	Rehearse     *bool  `toml:"rehearse"`
}

type rawCentral struct {
	Servers     []string `toml:"servers"`
	Credentials string   `toml:"credentials"`
	NKeySeed    string   `toml:"nkey_seed"`
	CA          string   `toml:"ca"`

	VendorKeys   []string `toml:"vendor_keys"`
	Grants       []string `toml:"grants"`
	AllowPrivate bool     `toml:"allow_private"`
	BeaconZone   string   `toml:"beacon_zone"`
}

type rawSpool struct {
	Dir      *string `toml:"dir"`
	MaxBytes *int64  `toml:"max_bytes"`
}

type rawLights struct {
	Driver *string   `toml:"driver"`
	Lamps  []rawLamp `toml:"lamp"`
}

type rawLamp struct {
	Role      string `toml:"role"`
	LED       string `toml:"led"`
	GPIO      string `toml:"gpio"`
	Red       string `toml:"red"`
	Green     string `toml:"green"`
	Blue      string `toml:"blue"`
	ActiveLow bool   `toml:"active_low"`
}

type rawButton struct {
	Event     *string `toml:"event"`
	GPIO      string  `toml:"gpio"`
	ActiveLow bool    `toml:"active_low"`
}

type rawPort struct {
	Port string `toml:"port"`
	Baud *int64 `toml:"baud"`
}

type rawPage struct {
	Show   *string `toml:"show"`
	Listen *string `toml:"listen"`
	Name   *string `toml:"name"`
}

type rawBandwidth struct {
	Server       string   `toml:"server"`
	User         string   `toml:"user"`
	PasswordFile string   `toml:"password_file"`
	KeyFile      string   `toml:"key_file"`
	Every        *string  `toml:"every"`
	Closed       []string `toml:"closed"`
	Window       string   `toml:"window"`
	Zone         *string  `toml:"zone"`
	PerDay       *int64   `toml:"max_bytes_per_day"`
	PerMonth     *int64   `toml:"max_bytes_per_month"`
	Capacity     bool     `toml:"full_capacity"`
}
