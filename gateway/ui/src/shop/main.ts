/** The basket of the demo shop only counts. */
let count = 0;

document.addEventListener('click', (event) => {
  const button = event.target instanceof Element ? event.target.closest('[data-add]') : null;
  const basket = document.getElementById('basket');
  if (button === null || basket === null) return;
  count += 1;
  basket.textContent = String(count);
});
