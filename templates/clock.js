// Says by how much the clock of this browser differs from the server's, which the page shows. What counts is the moment at
// which the answer came, not when this runs.
const shown = document.querySelector("[data-now]");
const sentence = document.getElementById("browser-clock");
const [visit] = performance.getEntriesByType("navigation");
if (shown && sentence && visit) {
  const ahead = performance.timeOrigin + visit.responseStart - Number(shown.dataset.now);
  const seconds = (Math.abs(ahead) / 1000).toFixed(1);
  sentence.textContent = Math.abs(ahead) < 1000
    ? `This browser’s clock agrees with it to within a second.`
    : `This browser’s clock is ${seconds} s ${ahead > 0 ? "ahead of" : "behind"} it.`;
}
