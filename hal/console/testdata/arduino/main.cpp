// Runs a sketch on a computer. With "live" its serial port is standard input and
// output, and its clock the computer's. Without, it obeys lines of standard
// input: "i" and hexadecimal bytes for its serial port, "b" to run for a beat of
// 250 ms and tell its pins in the middle of that ("p" and red, yellow, green and
// built in as 0 or 1), "w" and milliseconds to run on. What it says on its port
// comes as "s" and hexadecimal bytes, and "." when a line has been obeyed.
#include "Arduino.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <string>

Port Serial;
static bool live;
static unsigned long now;
static std::string in;
static uint8_t pins[20];

int Port::available() { return in.size(); }
int Port::read() {
  int c = (uint8_t)in[0];
  in.erase(0, 1);
  return c;
}
void Port::print(const char *s) {
  if (live) {
    fputs(s, stdout);
    fflush(stdout);
    return;
  }
  printf("s ");
  for (; *s; s++) printf("%02x", (uint8_t)*s);
  printf("\n");
}
void Port::print(unsigned long n) { print(std::to_string(n).c_str()); }
void Port::println(const char *s) { print((std::string(s) + "\r\n").c_str()); }
void Port::println(unsigned long n) { println(std::to_string(n).c_str()); }

unsigned long millis() { return now; }
void pinMode(uint8_t, uint8_t) {}
void digitalWrite(uint8_t pin, uint8_t level) { pins[pin] = level; }

static void run(unsigned long ms) {
  for (unsigned long end = now + ms; now < end; now += 5) loop();
}

static void obey(const char *line) {
  switch (line[0]) {
    case 'i':
      for (const char *p = line + 2; p[0] && p[1]; p += 2) in.push_back(strtol(std::string(p, 2).c_str(), nullptr, 16));
      loop();
      break;
    case 'b':
      run(125);
      printf("p %d%d%d%d\n", pins[2], pins[3], pins[4], pins[LED_BUILTIN]);
      run(125);
      break;
    case 'w':
      run(atol(line + 2));
  }
}

static int talk() {
  for (;;) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    now = t.tv_sec * 1000 + t.tv_nsec / 1000000;
    struct pollfd p = {0, POLLIN, 0};
    if (poll(&p, 1, 5) > 0) {
      char b[256];
      ssize_t n = read(0, b, sizeof b);
      if (n <= 0) return 0;
      in.append(b, n);
    }
    loop();
  }
}

int main(int argc, char **argv) {
  live = argc > 1 && strcmp(argv[1], "live") == 0;
  setup();
  if (live) return talk();
  static char line[1 << 16];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    obey(line);
    printf(".\n");
    fflush(stdout);
  }
}
