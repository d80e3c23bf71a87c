/** Letters that look like others. */

/** Alphabets with letters that a reader takes for Latin ones. */
const ALPHABETS = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u, /\p{Script=Armenian}/u, /\p{Script=Cherokee}/u];

/** May this address imitate another: does it mix alphabets, use odd forms of letters, or hide its letters behind `xn--`? */
export function imitates(address: string): boolean {
  return ALPHABETS.filter((one) => one.test(address)).length > 1 || address.normalize('NFKC') !== address || /(?:^|[@.])xn--/iu.test(address);
}
