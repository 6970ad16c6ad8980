// Without this script the page is a plain table, newest first.
for (const table of document.querySelectorAll('table.runs')) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];

  const number = told => (told === undefined ? NaN : Number(told));

  // By date a group and its runs stay together, the group above them whichever way.
  const keys = (row, column, sign) => {
    const value = number(row.cells[column]?.dataset.value);
    if (column) return [value];
    return [number(row.dataset.block), row.classList.contains('group') ? -sign * Infinity : value];
  };

  const order = (one, other, sign) => {
    for (const [index, a] of one.entries()) {
      const b = other[index];
      if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b);
      if (a < b) return -sign;
      if (a > b) return sign;
    }
    return 0;
  };

  const sort = column => {
    const head = heads[column];
    const now = head.getAttribute('aria-sort');
    const next = now ? (now === 'ascending' ? 'descending' : 'ascending') : head.dataset.first;
    const sign = next === 'ascending' ? 1 : -1;
    for (const one of heads) one.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', next);
    table.classList.toggle('together', column === 0);
    const keyed = rows.map(row => [keys(row, column, sign), row]);
    keyed.sort((one, other) => order(one[0], other[0], sign));
    body.append(...keyed.map(pair => pair[1]));
  };

  for (const [column, head] of heads.entries()) {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    button.addEventListener('click', () => sort(column));
    head.append(button);
  }

  const form = document.querySelector('form.filter');
  const [input, output] = form.elements;
  const words = rows.map(row => `${row.textContent} ${row.querySelector('a').getAttribute('href')}`.toLowerCase());
  const filter = () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, index) => { row.hidden = !wanted.every(word => words[index].includes(word)); });
    const shown = rows.filter(row => !row.hidden).length;
    output.value = wanted.length ? `${shown} of ${rows.length} rows` : '';
  };
  input.addEventListener('input', filter);
  form.addEventListener('submit', event => event.preventDefault());
  form.hidden = false;
  filter();
}
