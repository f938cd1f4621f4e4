(function (name, found) {
  // Mark the frames whose function or file holds what is typed, and say how many there are.
  var part = document.getElementById(name), input = part.querySelector("input"), told = part.querySelector("output");
  var plot = part.querySelector(".adx-plot"), colours = null;
  function search() {
    if (!plot.data) { return; }
    var trace = plot.data[0], text = input.value.trim().toLowerCase(), count = 0;
    colours = colours || Array.from(trace.marker.colors);
    var painted = colours.map(function (colour, i) {
      var hit = text && (trace.labels[i] + " " + trace.customdata[i][0]).toLowerCase().indexOf(text) >= 0;
      count += hit ? 1 : 0;
      return hit ? found : colour;
    });
    told.textContent = text ? count + (count === 1 ? " frame" : " frames") : "";
    Plotly.restyle(plot, {"marker.colors": [painted]});
  }
  input.addEventListener("input", search);
})
