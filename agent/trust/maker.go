package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"unicode"

	"github.com/sprechprobe/sprechprobe/agent"
)

// wordsLimit is how many runes of foreign words are kept.
const wordsLimit = 80

// makers are products that open TLS, with the words (lower case, whole words)
// by which the issuers of their certificates are commonly known. The first
// that matches counts.
var makers = []struct {
	maker string
	words []string
}{
	{"Fortinet", []string{"fortinet", "fortigate", "fortiproxy", "fortisase"}},
	{"Sophos", []string{"sophos", "astaro", "cyberoam"}},
	{"Securepoint", []string{"securepoint"}},
	{"LANCOM", []string{"lancom", "rohde schwarz cybersecurity"}},
	{"Palo Alto Networks", []string{"palo alto", "paloalto", "pan fw", "globalprotect"}},
	{"Cisco Umbrella", []string{"cisco umbrella", "opendns"}},
	{"Cisco", []string{"cisco", "firepower", "ironport", "meraki"}},
	{"Zscaler", []string{"zscaler"}},
	{"Netskope", []string{"netskope", "goskope"}},
	{"Forcepoint", []string{"forcepoint", "websense", "stonesoft"}},
	{"Blue Coat", []string{"blue coat", "bluecoat", "proxysg"}},
	{"WatchGuard", []string{"watchguard", "fireware"}},
	{"SonicWall", []string{"sonicwall"}},
	{"Check Point", []string{"check point", "checkpoint"}},
	{"Barracuda", []string{"barracuda"}},
	{"Juniper", []string{"juniper"}},
	{"Huawei", []string{"huawei"}},
	{"Aruba", []string{"aruba", "arubanetworks"}},
	{"Ubiquiti", []string{"ubiquiti", "unifi"}},
	{"Zyxel", []string{"zyxel", "usg flex"}},
	{"Clavister", []string{"clavister"}},
	{"genua", []string{"genua", "genugate"}},
	{"gateprotect", []string{"gateprotect"}},
	{"Endian", []string{"endian"}},
	{"OPNsense", []string{"opnsense"}},
	{"pfSense", []string{"pfsense"}},
	{"Untangle", []string{"untangle", "arista edge threat management"}},
	{"Smoothwall", []string{"smoothwall"}},
	{"Skyhigh", []string{"skyhigh", "mcafee web gateway"}},
	{"Cloudflare Gateway", []string{"cloudflare gateway", "cloudflare for teams", "gateway ca cloudflare managed"}},
	{"Kaspersky", []string{"kaspersky"}},
	{"ESET", []string{"eset"}},
	{"Avast/AVG", []string{"avast", "avg technologies", "avg web mail shield", "avg"}},
	{"Bitdefender", []string{"bitdefender"}},
	{"G DATA", []string{"g data", "gdata"}},
	{"Avira", []string{"avira"}},
	{"Norton", []string{"norton", "symantec web security"}},
	{"Trend Micro", []string{"trend micro", "trendmicro"}},
	{"Dr.Web", []string{"dr web", "drweb", "doctor web"}},
	{"AdGuard", []string{"adguard"}},
	{"mitmproxy", []string{"mitmproxy"}},
	{"Burp", []string{"portswigger"}},
	{"Fiddler", []string{"do not trust fiddlerroot", "fiddler"}},
	{"Charles", []string{"charles proxy"}},
	{"Squid", []string{"squid"}},
}

// makerOf recognises the maker by every issuer of the chain, leaf's first.
func makerOf(chain []*x509.Certificate) string {
	for _, cert := range chain {
		text := plainWords(nameText(cert.Issuer))
		for _, m := range makers {
			for _, w := range m.words {
				if strings.Contains(text, " "+w+" ") {
					return m.maker
				}
			}
		}
	}
	return ""
}

// nameText is every attribute of a name that people fill in by hand.
func nameText(n pkix.Name) string {
	parts := []string{n.CommonName}
	for _, p := range [][]string{n.Organization, n.OrganizationalUnit} {
		parts = append(parts, p...)
	}
	for _, a := range n.Names { // e-mail and domain attributes
		if s, ok := a.Value.(string); ok {
			parts = append(parts, s)
		}
	}
	text := strings.Join(parts, " ")
	return text[:min(len(text), 4096)]
}

// plainWords is text as lower-case words with one blank before and after each.
func plainWords(text string) string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return " " + strings.Join(words, " ") + " "
}

// issuerOf is the name by which people know the leaf's issuer.
func issuerOf(leaf *x509.Certificate) string {
	if cn := agent.Printable(leaf.Issuer.CommonName, wordsLimit); cn != "" {
		return cn
	}
	return agent.Printable(strings.Join(leaf.Issuer.Organization, " "), wordsLimit)
}
