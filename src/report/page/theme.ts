/** Light and dark: as the system has it, until the switch says otherwise. */

const KEPT = 'rrep-theme'

export function startTheme(): void {
  const button = document.getElementById('theme')
  if (!(button instanceof HTMLButtonElement)) return
  const root = document.documentElement
  const system = matchMedia('(prefers-color-scheme: dark)')
  const kept = read()
  if (kept !== undefined) root.dataset['theme'] = kept
  const isDark = (): boolean =>
    (root.dataset['theme'] ?? (system.matches ? 'dark' : 'light')) === 'dark'
  const show = (): void => {
    button.textContent = isDark() ? 'Light' : 'Dark'
  }
  button.hidden = false
  button.addEventListener('click', () => {
    root.dataset['theme'] = isDark() ? 'light' : 'dark'
    keep(root.dataset['theme'])
    show()
  })
  system.addEventListener('change', show)
  show()
}

/** Files of some browsers have no storage. */
function read(): string | undefined {
  try {
    const kept = localStorage.getItem(KEPT)
    return kept === 'light' || kept === 'dark' ? kept : undefined
  } catch {
    return undefined
  }
}

function keep(theme: string): void {
  try {
    localStorage.setItem(KEPT, theme)
  } catch {
    // It lasts as long as the page then.
  }
}
