'use strict';

const PERIOD_MS = 100;

for (const camera of document.querySelectorAll('.camera')) {
  const { moments, frames, edges, plot: [left, right] } = JSON.parse(camera.dataset.view);
  const one = selector => camera.querySelector(selector);
  const slider = one('.moment'), stage = one('.stage'), frame = one('.frame');
  const overlay = one('.overlay');
  const classes = camera.querySelectorAll('.legend li');
  const start = edges[0], duration = edges[edges.length - 1] - start;

  const show = () => {
    const index = Number(slider.value), moment = moments[index];
    frame.src = moment.frame;
    if (moment.overlay) overlay.src = moment.overlay; else overlay.removeAttribute('src');
    one('.tag + .tag').textContent = moment.overlay ? 'overlay' : 'no mask came';
    const said = [`frame ${moment.number + 1} of ${frames}`, `${moment.seconds.toFixed(2)} s`];
    if (moment.made) said.push(moment.made);
    if (moment.ms !== null) said.push(`${moment.ms} ms`);
    one('.said').textContent = said.join(' · ');
    slider.setAttribute('aria-valuetext', said.join(', '));
    classes.forEach((line, id) => {
      const share = moment.shares ? 100 * moment.shares[id] : 0;
      line.style.setProperty('--share', `${share}%`);
      line.querySelector('b').textContent = moment.shares ? `${share.toFixed(1)} %` : '';
    });
    const passed = ((edges[index] + edges[index + 1]) / 2 - start) / duration;
    for (const line of camera.querySelectorAll('.now')) {
      line.style.left = `${100 * (left + (right - left) * passed)}%`;
    }
    // the browser keeps it until it is wanted
    new Image().src = moments[(index + 1) % moments.length].frame;
  };

  const seek = (plot, event) => {
    const box = plot.getBoundingClientRect();
    const passed = ((event.clientX - box.left) / box.width - left) / (right - left);
    const seconds = start + passed * duration;
    slider.value = edges.findLastIndex(edge => edge <= seconds);
    show();
  };

  let timer = null;
  one('.play').onclick = event => {
    event.target.textContent = timer ? 'Play' : 'Pause';
    if (timer) { timer = clearInterval(timer); return; }
    timer = setInterval(() => {
      slider.value = (Number(slider.value) + 1) % moments.length;
      show();
    }, PERIOD_MS);
  };
  one('.cut').oninput = event => stage.style.setProperty('--cut', `${event.target.value}%`);
  slider.oninput = show;
  for (const plot of camera.querySelectorAll('.plot')) {
    plot.onpointerdown = event => seek(plot, event);
    plot.onpointermove = event => { if (event.buttons) seek(plot, event); };
  }
  if (moments.length < 2) one('.play').hidden = slider.hidden = true;
  show();
}
