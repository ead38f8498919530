// Elements of the page.

export const element = (id) => document.getElementById(id);

// A new element with these members.
export const make = (name, members = {}) => Object.assign(document.createElement(name), members);

// Rows and columns by which an arrow key moves; undefined for other keys.
export const arrow = ({ key }) =>
  ({ ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] })[key];
