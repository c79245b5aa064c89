/** The time of day, once a second, for ages on the pages. */
class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => (this.now = Date.now()), 1000);
  }
}

export const ticking = new Clock();
