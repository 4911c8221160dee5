// A status panel for Sprechprobe: a traffic light on an Arduino Uno, Nano or
// Leonardo that shows what the box's own lamps show. See README.md beside this.
//
// Pins 2, 3 and 4 light red, yellow and green, each over a resistor of 220 to
// 470 ohms to ground. Blue is shown as red and green, white as all three: the
// rhythm tells the state, the colour only repeats it. The LED of the board itself
// is lit while the vendor does not hear from the box ("+u").
//
// If no valid line has come for 15 s the box is lost, whatever it said last: red
// and green take turns with yellow, a second each. No state of a box looks so.

#include <string.h>

const uint8_t RED = 2, YELLOW = 3, GREEN = 4;
const unsigned long BEAT = 250;    // ms that one letter of a picture stands for
const unsigned long LOST = 15000;  // ms without a valid line
const uint8_t MAX_LINE = 64;       // bytes with the end of the line
const uint8_t MAX_WORD = 32;

struct State {
  const char *word;
  const char *picture;
};

// The pictures of the lamps, one letter a beat, '-' is dark. A test of the box
// holds them against its own table.
const State STATES[] = {
    {"starting", "WWWW----"},
    {"no-link", "R------"},
    {"no-address", "R-R------"},
    {"no-internet", "R-R-R------"},
    {"unclaimed", "BBBBBB-B------"},
    {"checking", "WW--"},
    {"ready", "GGGGGGGGGGGGGGG-"},
    {"limited", "YYYYYYYYYYYYY-Y-"},
    {"blocked", "R-R-R-R------"},
    {"unknown", "B-B-B-B-B------"},
    {"updating", "WWWW-WWWW------"},
    {"identify", "BBB-B-"},
    {"forget", "R-"},
    {"stopped", "-"},
};
const uint8_t STATE_COUNT = sizeof STATES / sizeof *STATES;
const uint8_t UNKNOWN = 9;  // shown for a word of a newer box

char line[MAX_LINE];
uint8_t length = 0;
bool skip = false;  // the line is too long; wait for the next

uint8_t state = 0;
bool unheard = false;
bool told = false;         // a word has come since the start
unsigned long heard = 0;   // when the last valid line came
unsigned long began = 0;   // when the present picture began

// crc8 is the CRC-8 with polynomial 0x07, from 0.
uint8_t crc8(const char *s, uint8_t n) {
  uint8_t c = 0;
  while (n-- > 0) {
    c ^= (uint8_t)*s++;
    for (uint8_t i = 0; i < 8; i++) c = c & 0x80 ? (c << 1) ^ 0x07 : c << 1;
  }
  return c;
}

// show takes a word that the box has told.
void show(const char *word, uint8_t n) {
  bool u = n > 2 && word[n - 2] == '+' && word[n - 1] == 'u';
  if (u) n -= 2;
  uint8_t found = UNKNOWN;
  for (uint8_t i = 0; i < STATE_COUNT; i++) {
    if (strlen(STATES[i].word) == n && strncmp(STATES[i].word, word, n) == 0) found = i;
  }
  if (!told || found != state) began = millis();
  state = found;
  unheard = u;
  told = true;
  heard = millis();
}

// fits says whether a word is written as the protocol wants it.
bool fits(const char *word, uint8_t n) {
  if (n < 1 || n > MAX_WORD) return false;
  for (; n > 0; n--, word++) {
    char c = *word;
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-')) return false;
  }
  return true;
}

// parse reads ">STATE word seq*crc", and answers it if it is whole.
void parse() {
  static const char HEAD[] = ">STATE ";
  const uint8_t head = sizeof HEAD - 1;
  if (length < head + 6 || strncmp(line, HEAD, head) != 0 || line[length - 3] != '*') return;
  uint8_t sum = crc8(line + 1, length - 4);
  const char *digits = "0123456789abcdef";
  if (line[length - 2] != digits[sum >> 4] || line[length - 1] != digits[sum & 15]) return;
  uint8_t end = length - 3, gap = head;
  while (gap < end && line[gap] != ' ') gap++;
  if (!fits(line + head, gap - head) || gap + 1 >= end || end - gap > 6) return;
  if (line[gap + 1] == '0' && end - gap > 2) return;  // a leading zero
  unsigned long seq = 0;
  for (uint8_t i = gap + 1; i < end; i++) {
    if (line[i] < '0' || line[i] > '9') return;
    seq = seq * 10 + (line[i] - '0');
  }
  if (seq > 65535) return;
  show(line + head, gap - head);
  Serial.print("OK ");
  Serial.println(seq);
}

// take collects a line.
void take(char c) {
  if (c == '\n') {
    if (length > 0 && line[length - 1] == '\r') length--;
    if (!skip) parse();
    length = 0;
    skip = false;
  } else if (length >= MAX_LINE - 1) {
    skip = true;
  } else {
    line[length++] = c;
  }
}

void light(char c) {
  digitalWrite(RED, c == 'R' || c == 'B' || c == 'W');
  digitalWrite(YELLOW, c == 'Y' || c == 'W');
  digitalWrite(GREEN, c == 'G' || c == 'B' || c == 'W');
}

void setup() {
  pinMode(RED, OUTPUT);
  pinMode(YELLOW, OUTPUT);
  pinMode(GREEN, OUTPUT);
  pinMode(LED_BUILTIN, OUTPUT);
  Serial.begin(115200);
  Serial.println("HELLO sprechprobe-panel 1");
}

void loop() {
  while (Serial.available() > 0) take(Serial.read());
  unsigned long now = millis();
  if (now - heard >= LOST) {
    light(now / 1000 % 2 ? 'Y' : 'B');
    digitalWrite(LED_BUILTIN, LOW);
    told = false;
    return;
  }
  const char *picture = STATES[state].picture;
  light(picture[(now - began) / BEAT % strlen(picture)]);
  digitalWrite(LED_BUILTIN, unheard);
}
