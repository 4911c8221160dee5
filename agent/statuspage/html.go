package statuspage

import "strings"

// doc is HTML that grows. What a method takes as text is escaped; tags, classes
// and what raw takes are our own.
type doc struct{ strings.Builder }

func (d *doc) raw(s string) { d.WriteString(s) }

// text is fit for the contents of an element and of an attribute in quotation
// marks. Package html would do the same, and bring 40 kB of names that only its
// other half needs.
func (d *doc) text(s string) {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '<':
			d.WriteString("&lt;")
		case '>':
			d.WriteString("&gt;")
		case '&':
			d.WriteString("&amp;")
		case '"':
			d.WriteString("&quot;")
		case '\'':
			d.WriteString("&#39;")
		default:
			d.WriteByte(c)
		}
	}
}

// open begins an element: a tag, and its class if there is one.
func (d *doc) open(tag, class string) {
	d.raw("<" + tag)
	if class != "" {
		d.raw(` class="` + class + `"`)
	}
	d.raw(">")
}

func (d *doc) close(tag string) { d.raw("</" + tag + ">") }

// empty is an element that is nothing but its class.
func (d *doc) empty(class string) {
	d.open("i", class)
	d.close("i")
}

// el is a whole element, left out where it has no text.
func (d *doc) el(tag, class, text string) {
	if text == "" {
		return
	}
	d.open(tag, class)
	d.text(text)
	d.close(tag)
}

// mute begins an element that says nothing to those who do not see it.
func (d *doc) mute(tag, class string) {
	d.open(tag+` aria-hidden="true"`, class)
}

// link leads to a path of our own.
func (d *doc) link(class, path, lang, text string) {
	d.open(`a href="`+path+`?lang=`+lang+`"`, class)
	d.text(text)
	d.close("a")
}

// style is the whole of how the page looks. Colours hold a contrast of 4.5 in
// light and dark; nothing is said by colour alone.
const style = `:root{color-scheme:light dark;--ground:#f3f5f6;--card:#fff;--text:#17212a;--soft:#55626c;--line:#cfd7dc;--brand:#0a6b5e;` +
	`--ready:#167a3c;--limited:#8a5200;--blocked:#b3181f;--offline:#7d1440;--unknown:#2a5aa8;--on:#fff}` +
	`@media(prefers-color-scheme:dark){:root{--ground:#14181b;--card:#1d2327;--text:#e6ebee;--soft:#a3b0b8;--line:#3c464d;--brand:#58c9b8;` +
	`--ready:#4cc27a;--limited:#f0b13c;--blocked:#ff7a76;--offline:#ff7fb0;--unknown:#86b3ff;--on:#14181b}}` +
	`*{box-sizing:border-box}` +
	`body{margin:0 auto;padding:0 1rem 2rem;max-width:44rem;background:var(--ground);color:var(--text);` +
	`font:1rem/1.45 system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif;overflow-wrap:anywhere}` +
	`a{color:var(--brand)}:focus-visible{outline:3px solid var(--brand);outline-offset:2px}` +
	`header{display:flex;gap:1rem;justify-content:space-between;align-items:baseline;padding:.6rem 0}` +
	`h1{font-size:1.2rem;margin:0}h2{font-size:1.1rem;margin:0 0 .6rem}h3{font-size:1rem;margin:0 0 .3rem}p{margin:0 0 .5rem}` +
	`.nav{padding:.6rem 0}section{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1rem;margin:0 0 .9rem}` +
	`.ready{--tone:var(--ready)}.limited{--tone:var(--limited)}.blocked{--tone:var(--blocked)}.offline{--tone:var(--offline)}.unknown{--tone:var(--unknown)}` +
	`.verdict{border:0;border-top:.5rem solid var(--tone);font-size:1.1rem}.word{color:var(--tone);font-size:1.5rem;font-weight:700;margin:0 0 .4rem}` +
	`.word i{font-style:normal;display:inline-block;width:2rem;height:2rem;line-height:2rem;text-align:center;border-radius:50%;` +
	`background:var(--tone);color:var(--on);margin-right:.5rem}` +
	`.soft{color:var(--soft);font-size:.9rem}ol,ul,dl{margin:0;padding:0;list-style:none}` +
	`.steps li{display:flex;gap:.6rem;padding:.3rem 0;border-top:1px solid var(--line)}.steps li:first-child{border:0}` +
	`.steps b{flex:none;width:1.4rem;text-align:center}.steps span{flex:1}.steps em{font-style:normal;text-align:right}` +
	`.passed b{color:var(--ready)}.failed b,.failed em{color:var(--blocked)}.failed span{font-weight:700}.waiting,.unneeded{color:var(--soft)}` +
	`.finding{border-top:1px solid var(--line);padding:.7rem 0}dt{color:var(--soft);font-size:.9rem}dd{margin:0 0 .4rem}` +
	`.button{display:inline-block;background:var(--brand);color:var(--on);padding:.7rem 1.2rem;border-radius:.5rem;text-decoration:none;font-weight:600;margin:.3rem 0}` +
	`.works{display:grid;grid-template-columns:1fr auto;gap:.2rem 1rem}.works dd{margin:0;font-weight:600;text-align:right}` +
	`.works dt{font-size:1rem;color:inherit}.works .head{grid-column:1/-1;font-weight:700;text-align:left}` +
	`.strip{display:flex;height:3rem;align-items:flex-end;gap:1px;border-bottom:1px solid var(--line)}.strip i{flex:1;min-width:0;background:var(--tone)}` +
	`i.ready{height:35%}i.limited{height:65%}i.blocked,i.offline{height:100%}i.unknown{height:15%}` +
	`.ends{display:flex;justify-content:space-between}.sums{display:flex;flex-wrap:wrap;gap:0 1.2rem}` +
	`.sums i{display:inline-block;width:.7rem;height:.7rem;background:var(--tone);margin-right:.4rem}` +
	`.legend li{padding:.35rem 0;border-top:1px solid var(--line)}.legend li:first-child{border:0}.legend .on p:first-of-type{font-weight:700}.legend p{margin:0}` +
	`.beats{display:flex;gap:2px;margin:.2rem 0}.beats i{width:.7rem;height:.7rem;border:1px solid var(--line);border-radius:2px}` +
	`.beats .G{background:#1f9d55}.beats .Y{background:#e0a100}.beats .R{background:#d3232b}.beats .B{background:#2f6fd6}.beats .W{background:#8a97a0}` +
	`textarea{width:100%;height:70vh;font:.85rem/1.4 ui-monospace,monospace;background:var(--card);color:var(--text);border:1px solid var(--line);border-radius:.4rem;padding:.6rem}`
