// Shows the lab's page while its tab is the chosen one: Locust's extended tabs can only hold tables.
(() => {
  const frame = document.createElement("iframe");
  frame.src = "./adx/";
  frame.title = "ADX Lab";
  frame.style.cssText = "border:0;width:100%;height:1200px;display:none";
  window.addEventListener("message", (event) => {
    if (event.source === frame.contentWindow && event.data.adxHeight) {
      frame.style.height = `${event.data.adxHeight}px`;
    }
  });
  const place = () => {
    const bar = document.querySelector('[role="tablist"]');
    const chosen = new URLSearchParams(location.search).get("tab") === "adx";
    frame.style.display = bar && chosen ? "block" : "none";
    if (!bar) return;
    const home = bar.closest(".MuiContainer-root") || bar.parentElement.parentElement;
    if (frame.parentElement !== home) home.append(frame);
  };
  setInterval(place, 200);
})();
