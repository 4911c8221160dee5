// As much of an Arduino as the example panel needs, for tests on a computer.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { LOW = 0, HIGH = 1, OUTPUT = 1, LED_BUILTIN = 13 };

struct Port {
  void begin(long) {}
  int available();
  int read();
  void print(const char *);
  void print(unsigned long);
  void println(const char *);
  void println(unsigned long);
};
extern Port Serial;

unsigned long millis();
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t level);
void setup();
void loop();
