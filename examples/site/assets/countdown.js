// Counts down to the moment at which the session lapses.
const left = document.getElementById('left');
const end = Date.now() + 1000 * left.textContent;
const timer = setInterval(() => {
  const seconds = Math.ceil((end - Date.now()) / 1000);
  left.textContent = Math.max(seconds, 0);
  if (seconds > 0) return;
  clearInterval(timer);
  left.parentElement.textContent =
    'This session has lapsed, if no other tab used it: visit again to see.';
}, 250);
