// The gateway has no service workers.  One that is registered here was smuggled in by a
// file that once was opened, and would see every file that is opened later.
"use strict";

navigator.serviceWorker
  ?.getRegistrations()
  .then((all) => all.forEach((each) => each.unregister()))
  .catch(() => {});
